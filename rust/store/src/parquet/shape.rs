//! The types of the fields of a Parquet footer and of a page header, from `parquet.thrift`.

use crate::parquet::thrift::{FieldShape, Shape, StructShape, WireType};

const BOOL: Shape = Shape::Bool;
const I16: Shape = Shape::Integer(WireType::I16);
const I32: Shape = Shape::Integer(WireType::I32);
const I64: Shape = Shape::Integer(WireType::I64);
const BYTE: Shape = Shape::Opaque(WireType::Byte);
const DOUBLE: Shape = Shape::Opaque(WireType::Double);
const BINARY: Shape = Shape::Opaque(WireType::Binary);
/// A structure without fields, or one whose fields the decoder skips.
const STRUCT: Shape = Shape::Opaque(WireType::Struct);

const fn list(element: &'static Shape) -> Shape {
    Shape::List(element)
}

/// Describe a structure by its name and its fields, each a number, a name and a shape.
macro_rules! fields {
    ($name:ident: $($id:literal $field:ident: $shape:expr),+) => {
        StructShape {
            name: stringify!($name),
            fields: &[$(FieldShape { id: $id, name: stringify!($field), shape: $shape }),+],
        }
    };
}

macro_rules! structure {
    ($($description:tt)+) => { Shape::Struct(fields! { $($description)+ }) };
}

pub(crate) const FILE_META_DATA: StructShape = fields! { FileMetaData:
    1 version: I32, 2 schema: list(&SCHEMA_ELEMENT), 3 num_rows: I64, 4 row_groups: list(&ROW_GROUP),
    5 key_value_metadata: list(&KEY_VALUE), 6 created_by: BINARY, 7 column_orders: list(&COLUMN_ORDER),
    8 encryption_algorithm: STRUCT, 9 footer_signing_key_metadata: BINARY
};

const KEY_VALUE: Shape = structure! { KeyValue: 1 key: BINARY, 2 value: BINARY };

const COLUMN_ORDER: Shape = structure! { ColumnOrder: 1 type_order: STRUCT, 2 ieee_754_total_order: STRUCT };

const SCHEMA_ELEMENT: Shape = structure! { SchemaElement:
    1 type: I32, 2 type_length: I32, 3 repetition_type: I32, 4 name: BINARY, 5 num_children: I32,
    6 converted_type: I32, 7 scale: I32, 8 precision: I32, 9 field_id: I32, 10 logical_type: LOGICAL_TYPE
};

const LOGICAL_TYPE: Shape = structure! { LogicalType:
    1 string: STRUCT, 2 map: STRUCT, 3 list: STRUCT, 4 enum: STRUCT,
    5 decimal: structure! { Decimal: 1 scale: I32, 2 precision: I32 }, 6 date: STRUCT, 7 time: TIME,
    8 timestamp: TIME, 10 integer: structure! { Integer: 1 bit_width: BYTE, 2 is_signed: BOOL },
    11 unknown: STRUCT, 12 json: STRUCT, 13 bson: STRUCT, 14 uuid: STRUCT, 15 float16: STRUCT,
    16 variant: structure! { Variant: 1 specification_version: BYTE },
    17 geometry: structure! { Geometry: 1 crs: BINARY },
    18 geography: structure! { Geography: 1 crs: BINARY, 2 algorithm: I32 }
};

const TIME: Shape = structure! { Time: 1 is_adjusted_to_utc: BOOL, 2 unit: TIME_UNIT };

const TIME_UNIT: Shape = structure! { TimeUnit: 1 millis: STRUCT, 2 micros: STRUCT, 3 nanos: STRUCT };

const ROW_GROUP: Shape = structure! { RowGroup:
    1 columns: list(&COLUMN_CHUNK), 2 total_byte_size: I64, 3 num_rows: I64,
    4 sorting_columns: list(&SORTING_COLUMN), 5 file_offset: I64, 6 total_compressed_size: I64,
    7 ordinal: I16
};

const SORTING_COLUMN: Shape =
    structure! { SortingColumn: 1 column_idx: I32, 2 descending: BOOL, 3 nulls_first: BOOL };

const COLUMN_CHUNK: Shape = structure! { ColumnChunk:
    1 file_path: BINARY, 2 file_offset: I64, 3 meta_data: COLUMN_META_DATA, 4 offset_index_offset: I64,
    5 offset_index_length: I32, 6 column_index_offset: I64, 7 column_index_length: I32,
    8 crypto_metadata: STRUCT, 9 encrypted_column_metadata: BINARY
};

const COLUMN_META_DATA: Shape = structure! { ColumnMetaData:
    1 type: I32, 2 encodings: list(&I32), 3 path_in_schema: list(&BINARY), 4 codec: I32, 5 num_values: I64,
    6 total_uncompressed_size: I64, 7 total_compressed_size: I64, 8 key_value_metadata: list(&KEY_VALUE),
    9 data_page_offset: I64, 10 index_page_offset: I64, 11 dictionary_page_offset: I64,
    12 statistics: STATISTICS, 13 encoding_stats: list(&PAGE_ENCODING_STATS), 14 bloom_filter_offset: I64,
    15 bloom_filter_length: I32, 16 size_statistics: SIZE_STATISTICS,
    17 geospatial_statistics: GEOSPATIAL_STATISTICS
};

const PAGE_ENCODING_STATS: Shape =
    structure! { PageEncodingStats: 1 page_type: I32, 2 encoding: I32, 3 count: I32 };

const SIZE_STATISTICS: Shape = structure! { SizeStatistics:
    1 unencoded_byte_array_data_bytes: I64, 2 repetition_level_histogram: list(&I64),
    3 definition_level_histogram: list(&I64)
};

const GEOSPATIAL_STATISTICS: Shape =
    structure! { GeospatialStatistics: 1 bbox: BOUNDING_BOX, 2 geospatial_types: list(&I32) };

const BOUNDING_BOX: Shape = structure! { BoundingBox:
    1 xmin: DOUBLE, 2 xmax: DOUBLE, 3 ymin: DOUBLE, 4 ymax: DOUBLE, 5 zmin: DOUBLE, 6 zmax: DOUBLE,
    7 mmin: DOUBLE, 8 mmax: DOUBLE
};

const STATISTICS: Shape = structure! { Statistics:
    1 max: BINARY, 2 min: BINARY, 3 null_count: I64, 4 distinct_count: I64, 5 max_value: BINARY,
    6 min_value: BINARY, 7 is_max_value_exact: BOOL, 8 is_min_value_exact: BOOL
};

pub(crate) const PAGE_HEADER: StructShape = fields! { PageHeader:
    1 type: I32, 2 uncompressed_page_size: I32, 3 compressed_page_size: I32, 4 crc: I32,
    5 data_page_header: DATA_PAGE_HEADER, 6 index_page_header: STRUCT,
    7 dictionary_page_header: DICTIONARY_PAGE_HEADER, 8 data_page_header_v2: DATA_PAGE_HEADER_V2
};

const DATA_PAGE_HEADER: Shape = structure! { DataPageHeader:
    1 num_values: I32, 2 encoding: I32, 3 definition_level_encoding: I32, 4 repetition_level_encoding: I32,
    5 statistics: STATISTICS
};

const DICTIONARY_PAGE_HEADER: Shape =
    structure! { DictionaryPageHeader: 1 num_values: I32, 2 encoding: I32, 3 is_sorted: BOOL };

const DATA_PAGE_HEADER_V2: Shape = structure! { DataPageHeaderV2:
    1 num_values: I32, 2 num_nulls: I32, 3 num_rows: I32, 4 encoding: I32,
    5 definition_levels_byte_length: I32, 6 repetition_levels_byte_length: I32, 7 is_compressed: BOOL,
    8 statistics: STATISTICS
};
