//! What an encoded value begins with.

/// The type of an encoded value.
///
/// The numbers are part of every digest: a new tag takes a new one, and none is
/// used again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Tag {
    None = 0,
    False = 1,
    True = 2,
    /// Length, two's complement.
    Int = 3,
    /// Eight bytes.
    Float = 4,
    /// Twice eight bytes.
    Complex = 5,
    /// Code points below 256, a byte each.
    Text1 = 6,
    /// Code points below 65,536, two bytes each; surrogates are code points.
    Text2 = 7,
    /// Any code points, four bytes each.
    Text4 = 8,
    Bytes = 9,
    ByteArray = 10,
    /// Two values (format, shape), then bytes.
    MemoryView = 11,
    /// Count, values.
    List = 12,
    /// Count, values.
    Tuple = 13,
    /// Count, sorted entries: the values.
    Set = 14,
    /// Count, sorted entries: the values.
    FrozenSet = 15,
    /// Count, keys and values in the order of the keys, which are all text.
    TextDict = 16,
    /// Count, sorted entries: each a key and a value.
    Dict = 17,
    /// Three ints.
    Date = 18,
    /// A date, a time.
    DateTime = 19,
    /// Five ints, then a value: the zone.
    Time = 20,
    /// Three ints.
    TimeDelta = 21,
    /// A time delta, a text.
    FixedZone = 22,
    /// A text: the zone's key.
    NamedZone = 23,
    /// A text.
    Decimal = 24,
    /// An int.
    Uuid = 25,
    /// Two values (dtype, shape), then bytes.
    Array = 26,
    /// Two values (dtype, shape), then count and values.
    ObjectArray = 27,
    /// A value (dtype), then bytes.
    ArrayScalar = 28,
    /// A text (the type), then count, and texts (attributes) with their values.
    Object = 29,
}
