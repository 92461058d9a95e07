//! A walk over Thrift's compact protocol that checks every length and type before the `parquet` crate decodes it.
//!
//! The crate's decoder reads a field as the type of the specification, whatever type the bytes declare
//! (<https://github.com/apache/arrow-rs/issues/9923>): one wrong type shifts all that follows. It also allocates
//! for some counts before it reads an element (<https://github.com/apache/arrow-rs/issues/9874>). Bytes that pass
//! this walk hold what they claim, in the types that the decoder expects.

/// Maximum nesting of skipped structures; those of Parquet nest 7 deep.
const MAX_DEPTH: u8 = 32;
/// Maximum elements of a list: an element may take one byte, and the decoder allocates about a hundred for it.
const MAX_ELEMENTS: usize = 1 << 16;

/// A type on the wire, of a field or a list element. A boolean field has its value as its type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WireType {
    True,
    False,
    Byte,
    I16,
    I32,
    I64,
    Double,
    Binary,
    List,
    Set,
    Map,
    Struct,
    Uuid,
}

impl WireType {
    /// Decode the four bits of a header.
    fn from_bits(bits: u8) -> Option<Self> {
        use WireType::{Binary, Byte, Double, False, I16, I32, I64, List, Map, Set, Struct, True, Uuid};
        let types = [True, False, Byte, I16, I32, I64, Double, Binary, List, Set, Map, Struct, Uuid];
        types.get(usize::from(bits).checked_sub(1)?).copied()
    }
}

/// The expected type of a value.
#[derive(Debug)]
pub(crate) enum Shape {
    /// A boolean field.
    Bool,
    /// An integer, which the walk reports.
    Integer(WireType),
    /// A value that the walk skips.
    Opaque(WireType),
    /// A list of such values.
    List(&'static Self),
    /// A structure.
    Struct(StructShape),
}

/// The known fields of a structure; unknown fields may have any type.
#[derive(Debug, Clone, Copy)]
pub(crate) struct StructShape {
    pub name: &'static str,
    pub fields: &'static [FieldShape],
}

/// A field of a structure.
#[derive(Debug)]
pub(crate) struct FieldShape {
    pub id: i16,
    pub name: &'static str,
    pub shape: Shape,
}

impl Shape {
    fn admits(&self, wire: WireType) -> bool {
        match self {
            Self::Bool => matches!(wire, WireType::True | WireType::False),
            Self::Integer(expected) | Self::Opaque(expected) => wire == *expected,
            Self::List(_) => wire == WireType::List,
            Self::Struct(_) => wire == WireType::Struct,
        }
    }
}

/// A report of the walk, in the order of the bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Event {
    /// A structure begins.
    Struct(&'static str),
    /// An integer field of a structure.
    Integer { structure: &'static str, field: &'static str, value: i64 },
}

/// Walk a structure at the start of some bytes, and return its length; `None` if the bytes end too early or break
/// the protocol, or if a known field has another type.
pub(crate) fn walk(bytes: &[u8], shape: StructShape, report: &mut dyn FnMut(Event)) -> Option<usize> {
    let mut walker = Walker { rest: bytes, depth: 0 };
    walker.structure(shape, report)?;
    Some(bytes.len() - walker.rest.len())
}

struct Walker<'a> {
    rest: &'a [u8],
    depth: u8,
}

impl Walker<'_> {
    fn structure(&mut self, shape: StructShape, report: &mut dyn FnMut(Event)) -> Option<()> {
        report(Event::Struct(shape.name));
        let mut last = 0;
        while let (id, Some(wire)) = self.field_header(last)? {
            last = id;
            match shape.fields.iter().find(|field| field.id == id) {
                None => self.skip_field(wire)?,
                Some(field) if !field.shape.admits(wire) => return None,
                Some(FieldShape { shape: Shape::Integer(_), name, .. }) => {
                    let value = self.integer()?;
                    report(Event::Integer { structure: shape.name, field: name, value });
                }
                Some(field) => self.value(&field.shape, wire, report)?,
            }
        }
        Some(())
    }

    /// Read the number and type of the next field; no type at the end of the structure.
    fn field_header(&mut self, last: i16) -> Option<(i16, Option<WireType>)> {
        let header = self.byte()?;
        let bits = header & 0x0f;
        if bits == 0 {
            return Some((last, None));
        }
        let id = match header >> 4 {
            0 => i16::try_from(self.integer()?).ok()?,
            delta => last.checked_add(delta.into())?,
        };
        Some((id, Some(WireType::from_bits(bits)?)))
    }

    fn value(&mut self, shape: &Shape, wire: WireType, report: &mut dyn FnMut(Event)) -> Option<()> {
        match shape {
            Shape::Bool | Shape::Integer(_) | Shape::Opaque(_) => self.skip_field(wire),
            Shape::Struct(shape) => self.structure(*shape, report),
            Shape::List(element) => {
                let (wire, count) = self.list_header()?;
                // Some writers declare no element type for an empty list.
                (count == 0 || wire.is_some_and(|wire| element.admits(wire))).then_some(())?;
                (0..count).try_for_each(|_| self.value(element, wire?, report))
            }
        }
    }

    /// Read the type and the number of a list's elements.
    fn list_header(&mut self) -> Option<(Option<WireType>, usize)> {
        let header = self.byte()?;
        let count = match header >> 4 {
            15 => self.varint()?,
            count => u64::from(count),
        };
        let count = usize::try_from(count).ok()?;
        (count <= MAX_ELEMENTS).then_some(())?;
        Some((WireType::from_bits(header & 0x0f), count))
    }

    /// Read an integer of any width.
    fn integer(&mut self) -> Option<i64> {
        let zigzag = self.varint()?;
        Some((zigzag >> 1).cast_signed() ^ -(zigzag & 1).cast_signed())
    }

    fn skip_field(&mut self, wire: WireType) -> Option<()> {
        match wire {
            WireType::True | WireType::False => Some(()),
            _ => self.skip_element(wire),
        }
    }

    /// Skip an element of a list. Booleans are rejected: writers take a byte for one, the decoder none.
    fn skip_element(&mut self, wire: WireType) -> Option<()> {
        match wire {
            WireType::True | WireType::False => None,
            WireType::Byte => self.advance(1),
            WireType::I16 | WireType::I32 | WireType::I64 => self.varint().map(drop),
            WireType::Double => self.advance(8),
            WireType::Uuid => self.advance(16),
            WireType::Binary => {
                let length = usize::try_from(self.varint()?).ok()?;
                self.advance(length)
            }
            WireType::List | WireType::Set | WireType::Map | WireType::Struct => {
                self.depth += 1;
                (self.depth <= MAX_DEPTH).then_some(())?;
                self.skip_nested(wire)?;
                self.depth -= 1;
                Some(())
            }
        }
    }

    fn skip_nested(&mut self, wire: WireType) -> Option<()> {
        match wire {
            WireType::Struct => {
                while let (_, Some(wire)) = self.field_header(0)? {
                    self.skip_field(wire)?;
                }
                Some(())
            }
            WireType::Map => {
                let count = self.varint()?;
                if count == 0 {
                    return Some(());
                }
                let types = self.byte()?;
                let (key, value) = (WireType::from_bits(types >> 4)?, WireType::from_bits(types & 0x0f)?);
                (0..count).try_for_each(|_| {
                    self.skip_element(key)?;
                    self.skip_element(value)
                })
            }
            _ => {
                let (wire, count) = self.list_header()?;
                (0..count).try_for_each(|_| self.skip_element(wire?))
            }
        }
    }

    fn byte(&mut self) -> Option<u8> {
        let (&first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(first)
    }

    fn advance(&mut self, count: usize) -> Option<()> {
        self.rest = self.rest.get(count..)?;
        Some(())
    }

    fn varint(&mut self) -> Option<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const INTEGERS: StructShape = StructShape {
        name: "Integers",
        fields: &[
            FieldShape { id: 2, name: "second", shape: Shape::Integer(WireType::I32) },
            FieldShape { id: 40, name: "last", shape: Shape::Integer(WireType::I32) },
        ],
    };

    fn walker(bytes: &[u8]) -> Walker<'_> {
        Walker { rest: bytes, depth: 0 }
    }

    #[test]
    fn walk_reports_integers_by_field() {
        // Field 2 = 300, field 4 = a list of two structures, field 40 (in the long form) = -1.
        let bytes = [0x25, 0xd8, 0x04, 0x29, 0x2c, 0x00, 0x00, 0x05, 0x50, 0x01, 0x00, 0xff];
        let mut events = Vec::new();
        assert_eq!(walk(&bytes, INTEGERS, &mut |event| events.push(event)), Some(bytes.len() - 1));
        let integer = |field, value| Event::Integer { structure: "Integers", field, value };
        assert_eq!(events, [Event::Struct("Integers"), integer("second", 300), integer("last", -1)]);
    }

    #[test]
    fn walk_field_of_another_type_fails() {
        assert_eq!(walk(&[0x26, 0x02, 0x00], INTEGERS, &mut |_| ()), None);
    }

    #[test]
    fn walk_list_elements_of_another_type_fails() {
        let integers = Shape::List(&Shape::Opaque(WireType::I32));
        let list = |header| walker(&[header, 0x02]).value(&integers, WireType::List, &mut |_| ());
        assert!(list(0x15).is_some());
        assert!(list(0x16).is_none());
        // A boolean.
        assert!(walker(&[0x11, 0x01]).skip_field(WireType::List).is_none());
    }

    #[test]
    fn skip_count_beyond_the_bytes_fails() {
        assert!(walker(&[0xfc, 0xff, 0xff, 0xff, 0xff, 0x07, 0x00]).list_header().is_none());
        assert!(walker(&[0xff; 40]).skip_field(WireType::Binary).is_none());
        // 65,536 empty structures, and one more.
        let structures = |last: u8| [vec![0xfc, 0x80 | last, 0x80, 0x04], vec![0; 1 << 17]].concat();
        assert!(walker(&structures(0)).list_header().is_some());
        assert!(walker(&structures(1)).list_header().is_none());
        assert!(walker(&[0xff, 0xff, 0xff, 0x7f, 0xcc]).skip_field(WireType::Map).is_none());
        assert!(walker(&[0x1c; 9999]).skip_field(WireType::Struct).is_none());
        assert!(walker(&[0x19; 9999]).skip_field(WireType::List).is_none());
    }

    proptest! {
        #[test]
        fn skip_any_bytes_does_not_panic(bytes in any::<Vec<u8>>(), bits in 1_u8..14) {
            let mut walker = walker(&bytes);
            let _ = walker.skip_field(WireType::from_bits(bits).unwrap());
            prop_assert!(walker.rest.len() <= bytes.len());
        }
    }
}
