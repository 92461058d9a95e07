//! Tests of `comparison`.

use super::*;

fn holds(cell: &Cell<'_>, comparison: Comparison, operand: Operand) -> bool {
    Test::new(comparison, operand).holds(cell)
}

#[test]
fn compare_null_is_unequal_to_values_and_unordered() {
    for comparison in [Comparison::Equal, Comparison::Less, Comparison::GreaterOrEqual] {
        assert!(!holds(&Cell::Null, comparison, Operand::Int(1)));
    }
    assert!(holds(&Cell::Null, Comparison::NotEqual, Operand::Int(1)));
    assert!(holds(&Cell::Null, Comparison::Equal, Operand::Null));
    assert!(!holds(&Cell::Null, Comparison::NotEqual, Operand::Null));
    assert!(holds(&Cell::Int(1), Comparison::NotEqual, Operand::Null));
    assert!(holds(&Cell::Null, Comparison::NotIn, Operand::List(vec![Operand::Int(1)])));
    assert!(holds(&Cell::Null, Comparison::In, Operand::List(vec![Operand::Null])));
}

#[test]
fn compare_integer_with_float_is_exact() {
    let large = (1_i128 << 53) + 1;
    assert!(holds(&Cell::Int(large), Comparison::Greater, Operand::Float(9_007_199_254_740_992.0)));
    assert!(holds(&Cell::Float(9_007_199_254_740_992.0), Comparison::Less, Operand::Int(large)));
    assert!(holds(&Cell::Int(2), Comparison::Equal, Operand::Float(2.0)));
    assert!(holds(&Cell::Float(f64::NAN), Comparison::NotEqual, Operand::Int(2)));
    assert!(!holds(&Cell::Float(f64::NAN), Comparison::LessOrEqual, Operand::Float(f64::INFINITY)));
}

#[test]
fn compare_negated_order_selects_all_other_values() {
    let cells =
        [Cell::Null, Cell::Float(f64::NAN), Cell::Int(1), Cell::Int(2), Cell::Int(3), Cell::Text("2".into())];
    for (comparison, negated) in [
        (Comparison::Less, Comparison::NotLess),
        (Comparison::LessOrEqual, Comparison::NotLessOrEqual),
        (Comparison::Greater, Comparison::NotGreater),
        (Comparison::GreaterOrEqual, Comparison::NotGreaterOrEqual),
    ] {
        for cell in &cells {
            let is_one = holds(cell, comparison, Operand::Int(2));
            assert_ne!(is_one, holds(cell, negated, Operand::Int(2)), "{comparison:?} {cell:?}");
        }
    }
}

#[test]
fn compare_nan_equals_nan_and_has_no_order() {
    let nan = || Operand::Float(f64::NAN);
    assert!(holds(&Cell::Float(f64::NAN), Comparison::Equal, nan()));
    assert!(holds(&Cell::NotFinite(f64::NAN, "NaN"), Comparison::Equal, nan()));
    assert!(!holds(&Cell::Float(f64::NAN), Comparison::NotEqual, nan()));
    assert!(holds(&Cell::Int(1), Comparison::NotEqual, nan()));
    assert!(!holds(&Cell::Float(1.0), Comparison::Less, nan()));
}

#[test]
fn compare_different_types_is_unequal_and_unordered() {
    assert!(holds(&Cell::Text("8".into()), Comparison::NotEqual, Operand::Int(8)));
    assert!(holds(&Cell::Bool(true), Comparison::NotEqual, Operand::Int(1)));
    assert!(holds(&Cell::Other, Comparison::NotIn, Operand::List(vec![Operand::Int(8)])));
    assert!(!holds(&Cell::Text("8".into()), Comparison::Greater, Operand::Int(7)));
}

#[test]
fn compare_name_of_a_float_is_number_or_text() {
    let cell = || Cell::of_json("\"Infinity\"");
    assert!(holds(&cell(), Comparison::Equal, Operand::Float(f64::INFINITY)));
    assert!(holds(&cell(), Comparison::Greater, Operand::Int(5)));
    assert!(holds(&cell(), Comparison::Equal, Operand::Text("Infinity".into())));
    for (comparison, operand) in
        [(Comparison::Less, Operand::Text("a".into())), (Comparison::Contains, Operand::Text("inf".into()))]
    {
        assert!(!holds(&cell(), comparison, operand.clone()));
        let test = Test { names_are_texts: true, ..Test::new(comparison, operand) };
        assert!(test.holds(&cell()));
    }
    let test = Test { names_are_texts: true, ..Test::new(Comparison::Greater, Operand::Int(5)) };
    assert!(!test.holds(&cell()));
}

#[test]
fn compare_lists_by_their_items() {
    let list = || Operand::List(vec![Operand::Int(1), Operand::Text("a".into()), Operand::Null]);
    assert!(holds(&Cell::of_json(r#"[1.0, "a", null]"#), Comparison::Equal, list()));
    assert!(!holds(&Cell::of_json(r#"[1.0, "a"]"#), Comparison::Equal, list()));
    assert!(holds(&Cell::of_json(r#"{"a": 1}"#), Comparison::NotEqual, list()));
}

#[test]
fn compare_objects_by_their_members() {
    let members =
        || [("a".to_owned(), Operand::Int(1)), ("b".to_owned(), Operand::List(vec![Operand::Null]))];
    let object = || Operand::Object(members().into());
    assert!(holds(&Cell::of_json(r#"{"b": [null], "a": 1.0}"#), Comparison::Equal, object()));
    for other in [r#"{"a": 1}"#, r#"{"a": 1, "b": [null], "c": 2}"#, r#"{"a": "1", "b": [null]}"#, "[1]", "1"]
    {
        assert!(holds(&Cell::of_json(other), Comparison::NotEqual, object()), "{other}");
    }
}

#[test]
fn search_text_ignores_case_and_finds_items() {
    let part = || Operand::Text("Größ".into());
    assert!(holds(&Cell::of_json(r#""die GRÖSSE""#), Comparison::Contains, part()));
    assert!(holds(&Cell::of_json(r#"[1, ["größe"]]"#), Comparison::Contains, part()));
    assert!(!holds(&Cell::Int(8), Comparison::Contains, Operand::Text("8".into())));
    assert!(!holds(&Cell::of_json(r#""auto""#), Comparison::Contains, Operand::Text("\"".into())));
}
