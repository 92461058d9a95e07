//! Of what types the fields of a Parquet footer and of a page's header are.
//!
//! The parser takes that for granted: a field of another type, it reads as what it expects, and all that follows
//! from a wrong place on. What was walked before, with the types that are written there, would then say nothing
//! about what the parser meets. From the specification, `parquet.thrift`.

use crate::parquet::thrift::{BINARY, BYTE, DOUBLE, I16, I32, I64, LIST, STRUCT};

/// What a value is.
#[derive(Debug)]
pub(crate) enum Shape {
    /// A boolean; a field's type is its value.
    Bool,
    /// Of this type, which holds no others, or nothing that is looked at.
    Plain(u8),
    /// A list of these.
    List(&'static Self),
    /// A structure with these fields, by their numbers, and perhaps others.
    Struct(&'static [(i16, Self)]),
}

impl Shape {
    /// Whether a value of a type may be this.
    pub(crate) fn admits(&self, kind: u8) -> bool {
        match self {
            Self::Bool => matches!(kind, 1 | 2),
            Self::Plain(plain) => kind == *plain,
            Self::List(_) => kind == LIST,
            Self::Struct(_) => kind == STRUCT,
        }
    }
}

use Shape::{Bool, List, Plain, Struct};

const EMPTY: Shape = Plain(STRUCT);
const KEY_VALUE: Shape = Struct(&[(1, Plain(BINARY)), (2, Plain(BINARY))]);

/// `FileMetaData`
pub(crate) const FOOTER: &[(i16, Shape)] = &[
    (1, Plain(I32)),
    (2, List(&SCHEMA_ELEMENT)),
    (3, Plain(I64)),
    (4, List(&ROW_GROUP)),
    (5, List(&KEY_VALUE)),
    (6, Plain(BINARY)),
    (7, List(&Struct(&[(1, EMPTY), (2, EMPTY)]))),
    (8, EMPTY),
    (9, Plain(BINARY)),
];

const SCHEMA_ELEMENT: Shape = Struct(&[
    (1, Plain(I32)),
    (2, Plain(I32)),
    (3, Plain(I32)),
    (4, Plain(BINARY)),
    (5, Plain(I32)),
    (6, Plain(I32)),
    (7, Plain(I32)),
    (8, Plain(I32)),
    (9, Plain(I32)),
    (10, LOGICAL_TYPE),
]);

const LOGICAL_TYPE: Shape = Struct(&[
    (1, EMPTY),
    (2, EMPTY),
    (3, EMPTY),
    (4, EMPTY),
    (5, Struct(&[(1, Plain(I32)), (2, Plain(I32))])),
    (6, EMPTY),
    (7, Struct(&[(1, Bool), (2, TIME_UNIT)])),
    (8, Struct(&[(1, Bool), (2, TIME_UNIT)])),
    (10, Struct(&[(1, Plain(BYTE)), (2, Bool)])),
    (11, EMPTY),
    (12, EMPTY),
    (13, EMPTY),
    (14, EMPTY),
    (15, EMPTY),
    (16, Struct(&[(1, Plain(BYTE))])),
    (17, Struct(&[(1, Plain(BINARY))])),
    (18, Struct(&[(1, Plain(BINARY)), (2, Plain(I32))])),
]);

const TIME_UNIT: Shape = Struct(&[(1, EMPTY), (2, EMPTY), (3, EMPTY)]);

const ROW_GROUP: Shape = Struct(&[
    (1, List(&COLUMN_CHUNK)),
    (2, Plain(I64)),
    (3, Plain(I64)),
    (4, List(&Struct(&[(1, Plain(I32)), (2, Bool), (3, Bool)]))),
    (5, Plain(I64)),
    (6, Plain(I64)),
    (7, Plain(I16)),
]);

const COLUMN_CHUNK: Shape = Struct(&[
    (1, Plain(BINARY)),
    (2, Plain(I64)),
    (3, COLUMN),
    (4, Plain(I64)),
    (5, Plain(I32)),
    (6, Plain(I64)),
    (7, Plain(I32)),
    (8, EMPTY),
    (9, Plain(BINARY)),
]);

/// `ColumnMetaData`
const COLUMN: Shape = Struct(&[
    (1, Plain(I32)),
    (2, List(&Plain(I32))),
    (3, List(&Plain(BINARY))),
    (4, Plain(I32)),
    (5, Plain(I64)),
    (6, Plain(I64)),
    (7, Plain(I64)),
    (8, List(&KEY_VALUE)),
    (9, Plain(I64)),
    (10, Plain(I64)),
    (11, Plain(I64)),
    (12, STATISTICS),
    (13, List(&Struct(&[(1, Plain(I32)), (2, Plain(I32)), (3, Plain(I32))]))),
    (14, Plain(I64)),
    (15, Plain(I32)),
    (16, Struct(&[(1, Plain(I64)), (2, List(&Plain(I64))), (3, List(&Plain(I64)))])),
    (17, Struct(&[(1, BOUNDING_BOX), (2, List(&Plain(I32)))])),
]);

const STATISTICS: Shape = Struct(&[
    (1, Plain(BINARY)),
    (2, Plain(BINARY)),
    (3, Plain(I64)),
    (4, Plain(I64)),
    (5, Plain(BINARY)),
    (6, Plain(BINARY)),
    (7, Bool),
    (8, Bool),
]);

const BOUNDING_BOX: Shape = Struct(&[
    (1, Plain(DOUBLE)),
    (2, Plain(DOUBLE)),
    (3, Plain(DOUBLE)),
    (4, Plain(DOUBLE)),
    (5, Plain(DOUBLE)),
    (6, Plain(DOUBLE)),
    (7, Plain(DOUBLE)),
    (8, Plain(DOUBLE)),
]);

/// `PageHeader`
pub(crate) const PAGE_HEADER: &[(i16, Shape)] = &[
    (1, Plain(I32)),
    (2, Plain(I32)),
    (3, Plain(I32)),
    (4, Plain(I32)),
    (5, Struct(&[(1, Plain(I32)), (2, Plain(I32)), (3, Plain(I32)), (4, Plain(I32)), (5, STATISTICS)])),
    (6, EMPTY),
    (7, Struct(&[(1, Plain(I32)), (2, Plain(I32)), (3, Bool)])),
    (
        8,
        Struct(&[
            (1, Plain(I32)),
            (2, Plain(I32)),
            (3, Plain(I32)),
            (4, Plain(I32)),
            (5, Plain(I32)),
            (6, Plain(I32)),
            (7, Bool),
            (8, STATISTICS),
        ]),
    ),
];
