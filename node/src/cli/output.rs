//! Answers of the API as tables or JSON.

use anyhow::Result;
use serde_json::Value;

use super::Session;

/// A column: heading, and the JSON key that fills it.
pub(super) type Column = (&'static str, &'static str);

/// Widest cell in characters; longer ones are cut.
const MAX_CELL: usize = 60;

impl Session {
    /// Prints a list: an array, or an object with `items`.
    pub(super) fn print_list(&self, value: &Value, columns: &[Column]) -> Result<()> {
        if self.json {
            return print_json(value);
        }
        let empty = Vec::new();
        let rows = value.get("items").unwrap_or(value).as_array().unwrap_or(&empty);
        if rows.is_empty() {
            say!("(none)");
            return Ok(());
        }
        let mut table = vec![columns.iter().map(|column| column.0.to_owned()).collect::<Vec<_>>()];
        table.extend(
            rows.iter().map(|row| columns.iter().map(|column| cell(row, column.1)).collect()),
        );
        print_table(&table);
        let shown = rows.len() as u64;
        if let Some(total) =
            value.get("total").and_then(Value::as_u64).filter(|total| *total > shown)
        {
            say!("({shown} of {total})");
        }
        Ok(())
    }

    /// Prints one object, a line a field.
    pub(super) fn print_object(&self, value: &Value) -> Result<()> {
        if self.json {
            return print_json(value);
        }
        print_fields(value, 0);
        Ok(())
    }

    /// Says that something was done; with `--json` the object.
    pub(super) fn done(&self, text: &str, value: &Value) -> Result<()> {
        if self.json {
            return print_json(value);
        }
        say!("{text}");
        Ok(())
    }
}

fn print_json(value: &Value) -> Result<()> {
    say!("{}", serde_json::to_string_pretty(value)?);
    Ok(())
}

fn print_table(rows: &[Vec<String>]) {
    for line in table(rows) {
        say!("{line}");
    }
}

/// Lines of a table whose columns are as wide as their widest cell; the first row is the heading.
pub(super) fn table(rows: &[Vec<String>]) -> Vec<String> {
    let columns = rows.first().map_or(0, Vec::len);
    let width = |column: usize| {
        rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max()
    };
    let widths: Vec<_> = (0..columns).map(|column| width(column).unwrap_or(0)).collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths);
        let line: String = cells.map(|(cell, width)| format!("{cell:width$}  ")).collect();
        line.trim_end().to_owned()
    };
    rows.iter().map(line).collect()
}

fn print_fields(value: &Value, indent: usize) {
    let Some(fields) = value.as_object() else {
        say!("{:indent$}{}", "", text(value));
        return;
    };
    for (name, field) in fields {
        match field {
            Value::Null => {}
            Value::String(text) if text.is_empty() => {}
            Value::Array(items) if items.is_empty() => {}
            Value::Array(items) if items.iter().all(|item| !item.is_object()) => {
                let items: Vec<_> = items.iter().map(text).collect();
                say!("{:indent$}{name}: {}", "", items.join(", "));
            }
            Value::Array(items) => {
                say!("{:indent$}{name}:", "");
                for item in items {
                    print_fields(item, indent + 2);
                    say!("");
                }
            }
            Value::Object(_) => {
                say!("{:indent$}{name}:", "");
                print_fields(field, indent + 2);
            }
            _ => say!("{:indent$}{name}: {}", "", text(field)),
        }
    }
}

fn cell(row: &Value, key: &str) -> String {
    let pointer = format!("/{}", key.replace('.', "/"));
    let mut text = row.pointer(&pointer).map(text).unwrap_or_default();
    if text.chars().count() > MAX_CELL {
        text = text.chars().take(MAX_CELL - 1).chain(['…']).collect();
    }
    text
}

/// A value in words; control characters of what came from outside are escaped.
fn text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::Bool(true) => "yes".to_owned(),
        Value::Bool(false) => "no".to_owned(),
        Value::String(text) => text.chars().map(visible).collect(),
        Value::Array(items) => items.iter().map(text).collect::<Vec<_>>().join(", "),
        other => other.to_string(),
    }
}

/// A control character, such as one of an escape code, made harmless.
pub(super) fn visible(character: char) -> char {
    if character.is_control() { '\u{fffd}' } else { character }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escape_codes_from_outside_do_not_reach_the_terminal() {
        assert_eq!(text(&Value::from("a\u{1b}[2Jb")), "a\u{fffd}[2Jb");
    }

    #[test]
    fn cells_are_found_by_path_and_cut() {
        let row = serde_json::json!({"a": {"b": "x".repeat(100)}, "c": ["y", "z"]});
        assert_eq!(cell(&row, "a.b").chars().count(), MAX_CELL);
        assert_eq!(cell(&row, "c"), "y, z");
        assert_eq!(cell(&row, "missing"), "");
    }
}
