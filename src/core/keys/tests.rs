//! The canonical form is read back: what can be told apart from its bytes alone
//! cannot be confused.

use super::{Digest, Encoder, Tag};
use proptest::prelude::*;

/// As much of Python's values as shows every shape of encoding.
#[derive(Clone, Debug, PartialEq)]
enum Value {
    None,
    Bool(bool),
    Int(i128),
    /// By its bits, so that it can be compared.
    Float(u64),
    Text1(Vec<u8>),
    Text2(Vec<u16>),
    Text4(Vec<u32>),
    Bytes(Vec<u8>),
    List(Vec<Value>),
    Tuple(Vec<Value>),
    Object(Vec<u8>, Vec<Value>),
}

impl Value {
    fn tell(&self, encoder: &mut Encoder) {
        match self {
            Self::None => encoder.tag(Tag::None),
            Self::Bool(false) => encoder.tag(Tag::False),
            Self::Bool(true) => encoder.tag(Tag::True),
            Self::Int(int) => encoder.long_int(&int.to_le_bytes()),
            Self::Float(bits) => encoder.float(f64::from_bits(*bits)),
            Self::Text1(units) => encoder.text1(units),
            Self::Text2(units) => encoder.text2(units),
            Self::Text4(units) => encoder.text4(units),
            Self::Bytes(bytes) => encoder.bytes(Tag::Bytes, bytes),
            Self::List(items) => tell_all(Tag::List, items, encoder),
            Self::Tuple(items) => tell_all(Tag::Tuple, items, encoder),
            Self::Object(name, items) => {
                encoder.tag(Tag::Object);
                encoder.text1(name);
                tell_all(Tag::List, items, encoder);
            }
        }
    }

    fn encoded(&self) -> Encoder {
        let mut encoder = Encoder::new();
        self.tell(&mut encoder);
        encoder
    }

    fn digest(&self) -> Digest {
        self.encoded().finish()
    }
}

fn tell_all(tag: Tag, items: &[Value], encoder: &mut Encoder) {
    encoder.open(tag, items.len());
    for item in items {
        item.tell(encoder);
    }
}

/// Reads one value from the front of `bytes`.
fn read(bytes: &mut &[u8]) -> Value {
    match take(bytes, 1)[0] {
        0 => Value::None,
        1 => Value::Bool(false),
        2 => Value::Bool(true),
        3 => {
            let told = take_counted(bytes, 1);
            let fill = if told.last().is_some_and(|last| last & 0x80 != 0) {
                0xff
            } else {
                0
            };
            let mut whole = [fill; 16];
            whole[..told.len()].copy_from_slice(told);
            Value::Int(i128::from_le_bytes(whole))
        }
        4 => Value::Float(u64::from_le_bytes(take(bytes, 8).try_into().unwrap())),
        6 => Value::Text1(take_counted(bytes, 1).to_vec()),
        7 => {
            let (units, rest) = take_counted(bytes, 2).as_chunks::<2>();
            assert!(rest.is_empty());
            Value::Text2(units.iter().map(|unit| u16::from_le_bytes(*unit)).collect())
        }
        8 => {
            let (units, rest) = take_counted(bytes, 4).as_chunks::<4>();
            assert!(rest.is_empty());
            Value::Text4(units.iter().map(|unit| u32::from_le_bytes(*unit)).collect())
        }
        9 => Value::Bytes(take_counted(bytes, 1).to_vec()),
        12 => Value::List(read_all(bytes)),
        13 => Value::Tuple(read_all(bytes)),
        29 => {
            let Value::Text1(name) = read(bytes) else {
                panic!("an object begins with its name")
            };
            let Value::List(items) = read(bytes) else {
                panic!("a name is followed by a list")
            };
            Value::Object(name, items)
        }
        other => panic!("nothing here is written with tag {other}"),
    }
}

fn read_all(bytes: &mut &[u8]) -> Vec<Value> {
    (0..take_length(bytes)).map(|_| read(bytes)).collect()
}

fn take<'a>(bytes: &mut &'a [u8], length: usize) -> &'a [u8] {
    let (front, rest) = bytes.split_at(length);
    *bytes = rest;
    front
}

fn take_counted<'a>(bytes: &mut &'a [u8], width: usize) -> &'a [u8] {
    let length = take_length(bytes);
    take(bytes, length * width)
}

fn take_length(bytes: &mut &[u8]) -> usize {
    let mut length = 0;
    for place in 0.. {
        let byte = take(bytes, 1)[0];
        length |= usize::from(byte & 0x7f) << (7 * place);
        if byte & 0x80 == 0 {
            break;
        }
    }
    length
}

fn values() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::None),
        any::<bool>().prop_map(Value::Bool),
        any::<i128>().prop_map(Value::Int),
        (-300_i128..300).prop_map(Value::Int),
        any::<f64>()
            .prop_filter("all NaNs are one", |float| !float.is_nan())
            .prop_map(|float| Value::Float(float.to_bits())),
        prop::collection::vec(any::<u8>(), 0..200).prop_map(Value::Text1),
        prop::collection::vec(any::<u16>(), 0..20).prop_map(Value::Text2),
        prop::collection::vec(any::<u32>(), 0..20).prop_map(Value::Text4),
        prop::collection::vec(any::<u8>(), 0..20).prop_map(Value::Bytes),
    ];
    leaf.prop_recursive(4, 40, 6, |inner| {
        let items = prop::collection::vec(inner, 0..6);
        prop_oneof![
            items.clone().prop_map(Value::List),
            items.clone().prop_map(Value::Tuple),
            (prop::collection::vec(any::<u8>(), 0..5), items)
                .prop_map(|(name, items)| Value::Object(name, items)),
        ]
    })
}

proptest! {
    #[test]
    fn what_is_written_can_be_read_back(value in values()) {
        let encoder = value.encoded();
        let mut bytes = encoder.written();
        prop_assert_eq!(&read(&mut bytes), &value);
        prop_assert!(bytes.is_empty(), "something follows the value");
    }

    #[test]
    fn digests_are_equal_exactly_for_equal_values(one in values(), other in values()) {
        prop_assert_eq!(one.digest(), one.clone().digest());
        prop_assert_eq!(one.digest() == other.digest(), one == other);
    }

    #[test]
    fn an_int_has_one_form_however_long_it_was_given(int in any::<i64>()) {
        let short = {
            let mut encoder = Encoder::new();
            encoder.int(int);
            encoder.finish()
        };
        prop_assert_eq!(short, Value::Int(i128::from(int)).digest());
    }

    #[test]
    fn what_has_no_order_is_the_same_in_any(
        values in prop::collection::vec(values(), 0..12),
        seed in any::<usize>(),
    ) {
        let mut turned = values.clone();
        turned.rotate_left(seed % values.len().max(1));
        prop_assert_eq!(unordered(&values), unordered(&turned));
    }

    #[test]
    fn what_has_no_order_counts_all_its_entries(
        values in prop::collection::vec(values(), 1..12),
        seed in any::<usize>(),
        other in values(),
    ) {
        let place = seed % values.len();
        let mut less = values.clone();
        less.remove(place);
        prop_assert_ne!(unordered(&values), unordered(&less));
        let mut changed = values.clone();
        changed[place] = other.clone();
        prop_assert_eq!(unordered(&values) == unordered(&changed), values[place] == other);
    }
}

fn unordered(values: &[Value]) -> Digest {
    let mut own = Encoder::new();
    let mut entries: Vec<_> = values
        .iter()
        .map(|value| {
            value.tell(&mut own);
            own.take_entry()
        })
        .collect();
    let mut encoder = Encoder::new();
    encoder.unordered(Tag::Set, &mut entries);
    encoder.finish()
}

/// A form as long as a digest is not taken for one.
#[test]
fn entries_are_told_by_their_forms_or_digests() {
    for length in [0, 1, 29, 30, 31, 32, 33, 16_383, 16_384, 50_000] {
        let value = Value::Bytes(vec![5; length]);
        let mut own = Encoder::new();
        value.tell(&mut own);
        let form = (length < 100).then(|| own.written().to_vec());
        let entry = own.take_entry();
        match form {
            Some(form) if form.len() <= 32 => {
                assert_eq!(entry.as_bytes()[0], form.len() as u8);
                assert_eq!(&entry.as_bytes()[1..], form);
            }
            _ => {
                assert_eq!(entry.as_bytes()[0], 0xff);
                assert_eq!(entry.as_bytes()[1..], value.digest().0);
            }
        }
        // Nothing of it is left.
        Value::None.tell(&mut own);
        assert_eq!(own.take_entry().as_bytes(), [1, 0]);
    }
}

/// However a long form was cut into pieces, its digest is that of all its bytes.
#[test]
fn long_forms_are_hashed_as_one() {
    for length in [0, 100, 16_383, 16_384, 16_385, 100_000] {
        let long = vec![7_u8; length];
        let mut encoder = Encoder::new();
        let mut expected = blake3::Hasher::new_keyed(super::FORM);
        for _ in 0..3 {
            encoder.float(1.5);
            encoder.bytes(Tag::Bytes, &long);
            let mut header = vec![4];
            header.extend(1.5_f64.to_le_bytes());
            header.push(9);
            let mut rest = length;
            while rest >= 0x80 {
                header.push(rest as u8 | 0x80);
                rest >>= 7;
            }
            header.push(rest as u8);
            expected.update(&header).update(&long);
        }
        assert_eq!(encoder.finish().0, *expected.finalize().as_bytes());
    }
}

#[test]
fn wide_text_is_hashed_in_pieces_as_in_one() {
    let units: Vec<u16> = (0..40_000).map(|unit| unit | 0x100).collect();
    let mut encoder = Encoder::new();
    encoder.text2(&units);
    let mut bytes = vec![7, 0xc0, 0xb8, 0x02];
    bytes.extend(units.iter().flat_map(|unit| unit.to_le_bytes()));
    assert_eq!(encoder.finish(), Digest::of(&bytes));
}

#[test]
fn all_nans_are_one_and_the_zeros_are_two() {
    let float = |bits| Value::Float(bits).digest();
    assert_eq!(float(0x7ff8_0000_0000_0000), float(0xfff0_dead_beef_0001));
    assert_ne!(float(0.0_f64.to_bits()), float((-0.0_f64).to_bits()));
}

/// Digests that users have stored. Where one must change, `FORM` does too.
#[test]
fn digests_stay_what_they_were() {
    let digest = Value::List(vec![
        Value::None,
        Value::Bool(true),
        Value::Int(-1_000_000),
        Value::Float(1.5_f64.to_bits()),
        Value::Text1(b"text".to_vec()),
    ])
    .digest();
    assert_eq!(
        blake3::Hash::from_bytes(digest.0).to_hex().as_str(),
        "213b2ccf482741693e081a47c649fffa4c8b8b1823668c93bc1cad53dd9775f8"
    );
}
