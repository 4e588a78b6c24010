//! What Kailash does to every value that passes a node, done natively for the
//! builtin types and left to Kailash for everything else.
//!
//! A native walk only ever deals with objects whose type is *exactly* one of
//! Python's own (`type(x) is dict`, not a subclass), because only those cannot
//! run code of the user when they are read, hashed or compared. Whatever else
//! turns up is handed to the stock function that the caller passed in, so the
//! outcome, the log lines and the errors are stock's own.

pub(in crate::py) mod copies;
mod depth;
mod json_check;
mod json_write;
mod kind;
mod node_output;
mod parameters;
mod rebuild;
mod sanitize;
mod serializable;
mod stock;
mod testing;
mod text;
mod walk;

pub use self::testing::register_testing;
#[allow(unused_imports, reason = "the node programs pick what they need")]
pub use self::{
    json_check::{Verdict, is_json_serializable},
    json_write::write_json,
    node_output::{copy_validated, output_is_clean, validate_node_output},
    parameters::{resolve_and_sanitize_parameters, sanitize_parameters},
    sanitize::{resolve_and_sanitize, resolve_templates_copy, sanitize, sanitize_plain},
    serializable::ensure_json_serializable,
    stock::StockFunctions,
};
pub(in crate::py) use self::{
    text::{Units, units},
    walk::{any_entry, any_item},
};

/// Nesting beyond which Python is asked. It is far below the depth at which
/// stock, which recurses in Python, meets its recursion limit, and it is what
/// ends a walk through a structure that contains itself.
const MAX_DEPTH: u32 = 150;
