//! Tables of results: printed for people, and written as JSON for `benches/run`.

use serde_json::{Map, Value};

use crate::Failure;

/// The environment variable with the path of the JSON file.
const JSON: &str = "PORTCULLIS_BENCH_JSON";

/// The narrowest column.
const WIDTH: usize = 10;

/// Returns true if the bench is only tried (`-- --quick`): in seconds, with numbers that are worth little.
pub fn is_quick() -> bool {
    std::env::args().any(|argument| argument == "--quick")
}

/// Rows of one measurement. Each is printed when it is added, because some take minutes.
#[derive(Debug)]
pub struct Table {
    columns: &'static [&'static str],
    rows: Vec<Value>,
}

impl Table {
    /// Prints the title and the names of the columns.
    pub fn new(title: &str, columns: &'static [&'static str]) -> Self {
        println!("\n{title}");
        let names: Vec<_> = columns.iter().map(|name| format!("{name:>WIDTH$}")).collect();
        println!("{}", names.join("  "));
        Self { columns, rows: Vec::new() }
    }

    /// Adds a row and prints it. `Value::Null` stands for what does not apply; cells without a column are left out.
    pub fn row(&mut self, cells: Vec<Value>) {
        let shown: Vec<_> = self.columns.iter().zip(&cells).map(|(name, cell)| shown(cell, name.len())).collect();
        println!("{}", shown.join("  "));
        let names = self.columns.iter().map(|name| (*name).to_owned());
        self.rows.push(Value::Object(names.zip(cells).collect()));
    }
}

fn shown(cell: &Value, width: usize) -> String {
    let text = match cell {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        Value::Number(number) if number.is_f64() => format!("{:.2}", number.as_f64().unwrap_or_default()),
        other => other.to_string(),
    };
    format!("{text:>0$}", width.max(WIDTH))
}

/// The tables of a bench, by name.
#[derive(Debug, Default)]
pub struct Results(Map<String, Value>);

impl Results {
    /// Adds a table that has all its rows.
    pub fn add(&mut self, name: &str, table: Table) {
        self.0.insert(name.to_owned(), Value::Array(table.rows));
    }

    /// Writes all tables to the file that `PORTCULLIS_BENCH_JSON` names, if it names one.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write(self) -> Result<(), Failure> {
        let Some(path) = std::env::var_os(JSON) else { return Ok(()) };
        let text = serde_json::to_string(&self.0)?;
        std::fs::write(&path, text).map_err(|error| format!("{JSON}={}: {error}", path.display()).into())
    }
}
