//! Thrift's compact protocol, walked without believing a length in it.
//!
//! The parser of footers allocates for as many row groups as a footer says it has, and the reader of pages for
//! as many bytes as a page says it becomes: a lie in either ends the process, or takes the machine's memory.
//! What is walked here first has what it claims, and is of the types that the parser takes it to be of.

use crate::parquet::shape::Shape;

/// The protocol's types of a field or an element; a boolean field is of one of two, its values.
pub(crate) const BYTE: u8 = 3;
pub(crate) const I16: u8 = 4;
pub(crate) const I32: u8 = 5;
pub(crate) const I64: u8 = 6;
pub(crate) const DOUBLE: u8 = 7;
pub(crate) const BINARY: u8 = 8;
pub(crate) const LIST: u8 = 9;
pub(crate) const STRUCT: u8 = 12;

/// How deep the structures of a footer or a page may lie in each other; Parquet's own lie 7 deep.
const DEEPEST: u8 = 32;
/// Elements of a list; the longest that Parquet has is that of the columns. An element may be one byte, and the
/// parser allocates a hundred for it.
const MOST_ELEMENTS: usize = 1 << 16;

/// A place in encoded bytes. Every method gives `None` where the bytes end too early or mean nothing.
pub(crate) struct Walker<'a> {
    rest: &'a [u8],
    depth: u8,
}

impl<'a> Walker<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes, depth: 0 }
    }

    /// How many bytes are still to come.
    pub(crate) fn remaining(&self) -> usize {
        self.rest.len()
    }

    /// Walk a structure; `field` is given each field's number and type, and must walk its value.
    pub(crate) fn structure(
        &mut self,
        mut field: impl FnMut(&mut Self, i16, u8) -> Option<()>,
    ) -> Option<()> {
        let mut id: i16 = 0;
        loop {
            let header = self.byte()?;
            let (delta, kind) = (header >> 4, header & 0x0f);
            if kind == 0 {
                return Some(());
            }
            id =
                if delta == 0 { i16::try_from(self.integer()?).ok()? } else { id.checked_add(delta.into())? };
            field(self, id, kind)?;
        }
    }

    /// Walk a structure, each of whose fields is what it should be; those that are not known may be anything.
    pub(crate) fn shaped(&mut self, fields: &[(i16, Shape)]) -> Option<()> {
        self.structure(|walker, id, kind| match fields.iter().find(|(known, _)| *known == id) {
            Some((_, shape)) if shape.admits(kind) => walker.value(shape, kind),
            Some(_) => None,
            None => walker.skip(kind),
        })
    }

    fn value(&mut self, shape: &Shape, kind: u8) -> Option<()> {
        match shape {
            Shape::Bool | Shape::Plain(_) => self.skip(kind),
            Shape::Struct(fields) => self.shaped(fields),
            Shape::List(element) => {
                let (kind, count) = self.list()?;
                // Of an empty list, some writers do not say what it is a list of.
                (count == 0 || element.admits(kind)).then_some(())?;
                (0..count).try_for_each(|_| self.value(element, kind))
            }
        }
    }

    /// The type and the number of a list's elements, which follow; there are at least as many bytes, and not too
    /// many elements.
    pub(crate) fn list(&mut self) -> Option<(u8, usize)> {
        let header = self.byte()?;
        let count = match header >> 4 {
            15 => self.varint()?,
            count => u64::from(count),
        };
        let most = self.rest.len().min(MOST_ELEMENTS);
        let count = usize::try_from(count).ok().filter(|&count| count <= most)?;
        Some((header & 0x0f, count))
    }

    /// A signed number of any width.
    pub(crate) fn integer(&mut self) -> Option<i64> {
        let zigzag = self.varint()?;
        Some((zigzag >> 1).cast_signed() ^ -(zigzag & 1).cast_signed())
    }

    /// Walk past a field's value.
    pub(crate) fn skip(&mut self, kind: u8) -> Option<()> {
        match kind {
            // The value of a boolean field is its type.
            1 | 2 => Some(()),
            _ => self.skip_element(kind),
        }
    }

    /// Walk past an element of a list. Booleans are refused: writers take a byte for one, the parser none, and no
    /// list of a footer has any.
    pub(crate) fn skip_element(&mut self, kind: u8) -> Option<()> {
        match kind {
            BYTE => self.advance(1),
            I16 | I32 | I64 => self.varint().map(drop),
            DOUBLE => self.advance(8),
            BINARY => {
                let length = usize::try_from(self.varint()?).ok()?;
                self.advance(length)
            }
            9..=12 => {
                self.depth += 1;
                if self.depth > DEEPEST {
                    return None;
                }
                self.skip_nested(kind)?;
                self.depth -= 1;
                Some(())
            }
            13 => self.advance(16),
            _ => None,
        }
    }

    fn skip_nested(&mut self, kind: u8) -> Option<()> {
        match kind {
            STRUCT => self.structure(|walker, _, kind| walker.skip(kind)),
            11 => {
                let count = self.varint()?;
                if count == 0 {
                    return Some(());
                }
                let kinds = self.byte()?;
                for _ in 0..count {
                    self.skip_element(kinds >> 4)?;
                    self.skip_element(kinds & 0x0f)?;
                }
                Some(())
            }
            _ => {
                let (kind, count) = self.list()?;
                for _ in 0..count {
                    self.skip_element(kind)?;
                }
                Some(())
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

    #[test]
    fn fields_are_told_by_their_numbers() {
        // Field 2 = 300, field 4 = a list of two structures, field 40 (in the long form) = -1.
        let bytes = [0x25, 0xd8, 0x04, 0x29, 0x2c, 0x00, 0x00, 0x05, 0x50, 0x01, 0x00, 0xff];
        let (mut walker, mut seen) = (Walker::new(&bytes), Vec::new());
        let outcome = walker.structure(|walker, id, kind| {
            seen.push((id, if kind == I32 { walker.integer()? } else { walker.skip(kind).map(|()| 0)? }));
            Some(())
        });
        assert_eq!((outcome, walker.remaining()), (Some(()), 1));
        assert_eq!(seen, [(2, 300), (4, 0), (40, -1)]);
    }

    #[test]
    fn a_count_that_the_bytes_cannot_hold_is_not_believed() {
        assert!(Walker::new(&[0xfc, 0xff, 0xff, 0xff, 0xff, 0x07, 0x00]).list().is_none());
        assert!(Walker::new(&[0xff; 40]).skip(8).is_none());
        // 65,536 empty structures, and one more.
        let structures = |last: u8| [vec![0xfc, 0x80 | last, 0x80, 0x04], vec![0; 1 << 17]].concat();
        assert!(Walker::new(&structures(0)).list().is_some());
        assert!(Walker::new(&structures(1)).list().is_none());
        assert!(Walker::new(&[0xff, 0xff, 0xff, 0x7f, 0xcc]).skip(11).is_none());
        assert!(Walker::new(&[0x1c; 9999]).skip(STRUCT).is_none());
        assert!(Walker::new(&[0x19; 9999]).skip(LIST).is_none());
    }

    proptest! {
        #[test]
        fn any_bytes_are_walked_without_a_panic(bytes in any::<Vec<u8>>(), kind in 0_u8..16) {
            let mut walker = Walker::new(&bytes);
            let _ = walker.skip(kind);
            prop_assert!(walker.remaining() <= bytes.len());
        }
    }
}
