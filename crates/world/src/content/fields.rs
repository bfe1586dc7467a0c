//! Reading a TOML table field by field, with a mistake named at its line for whatever is not as it should be.

use std::ops::RangeInclusive;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::mistake::{Place, Source, nearest, shown};
use super::text::{Shape, shape};

/// A table being read. Making one reports the keys it does not know.
pub(super) struct Fields<'t> {
    pub source: &'t Source<'t>,
    /// Where the table stands.
    pub place: Place,
    table: &'t DeTable<'t>,
    /// For messages: `room 'hall'`.
    what: String,
}

impl<'t> Fields<'t> {
    pub fn new(
        source: &'t Source<'t>,
        table: &'t DeTable<'t>,
        place: Place,
        what: impl Into<String>,
        known: &[&str],
    ) -> Self {
        let fields = Self { source, place, table, what: what.into() };
        for key in table.keys().filter(|key| !known.contains(&key.get_ref().as_ref())) {
            let message = fields.unknown(key.get_ref(), known);
            source.report.error(&source.place(key.span()), message);
        }
        fields
    }

    fn unknown(&self, key: &str, known: &[&str]) -> String {
        let hint = match nearest(key, known.iter().copied()) {
            Some(meant) => format!("did you mean '{meant}'?"),
            None => format!("known here: {}", known.join(", ")),
        };
        format!("unknown key '{}' in {}: {hint}", shown(key), self.what)
    }

    pub fn error(&self, place: &Place, message: impl std::fmt::Display) {
        self.source.report.error(place, format!("{}: {message}", self.what));
    }

    fn get(&self, key: &str) -> Option<(Place, &'t DeValue<'t>)> {
        let (found, value) = self.table.iter().find(|(found, _)| found.get_ref() == key)?;
        // An implicit table (`exits.east = ...`) has no place of its own; its key has.
        let start = if value.span().is_empty() { found.span() } else { value.span() };
        let start = if value.get_ref().is_table() { found.span() } else { start };
        Some((self.source.place(start), value.get_ref()))
    }

    fn wrong_type(&self, place: &Place, key: &str, wanted: &str, got: &DeValue<'_>) {
        self.error(place, format!("'{key}' takes {wanted}, not {}", type_name(got)));
    }

    fn missing(&self, key: &str) {
        if !self.source.broken.get() {
            self.error(&self.place, format!("'{key}' is missing"));
        }
    }

    /// A text in the given shape.
    pub fn text(&self, key: &str, wanted: Shape) -> Option<(Place, String)> {
        let (place, value) = self.get(key)?;
        let text = self.text_of(&place, key, value, wanted)?;
        Some((place, text))
    }

    fn text_of(&self, place: &Place, key: &str, value: &DeValue<'_>, wanted: Shape) -> Option<String> {
        let Some(text) = value.as_str() else {
            self.wrong_type(place, key, "a text", value);
            return None;
        };
        shape(text, wanted).map_err(|why| self.error(place, format!("'{key}' {why}"))).ok()
    }

    /// A text that has to be there; empty where it is not, and the mistake is named.
    pub fn need_text(&self, key: &str, wanted: Shape) -> String {
        if self.get(key).is_none() {
            self.missing(key);
        }
        self.text(key, wanted).map(|(_, text)| text).unwrap_or_default()
    }

    /// A list of texts; a single text is a list of one.
    pub fn texts(&self, key: &str, wanted: Shape, most: usize) -> Vec<(Place, String)> {
        let Some((place, value)) = self.get(key) else { return Vec::new() };
        if value.is_str() {
            return self.text_of(&place, key, value, wanted).map(|text| (place, text)).into_iter().collect();
        }
        let read = |(place, value): (Place, &'t DeValue<'t>)| {
            self.text_of(&place, key, value, wanted).map(|text| (place, text))
        };
        self.items(key, "a list of texts", most).into_iter().filter_map(read).collect()
    }

    fn items(&self, key: &str, wanted: &str, most: usize) -> Vec<(Place, &'t DeValue<'t>)> {
        let Some((place, value)) = self.get(key) else { return Vec::new() };
        let Some(array) = value.as_array() else {
            self.wrong_type(&place, key, wanted, value);
            return Vec::new();
        };
        if array.len() > most {
            self.error(&place, format!("'{key}' has {} entries: at most {most}", array.len()));
        }
        array.iter().take(most).map(|item| (self.source.place(item.span()), item.get_ref())).collect()
    }

    /// A list of tables, each with its place.
    pub fn tables(&self, key: &str, most: usize) -> Vec<(Place, &'t DeTable<'t>)> {
        let mut tables = Vec::new();
        for (place, value) in self.items(key, "a list of tables", most) {
            match value.as_table() {
                Some(table) => tables.push((place, table)),
                None => self.wrong_type(&place, key, "a list of tables", value),
            }
        }
        tables
    }

    /// The entries of a table whose keys the builder chooses.
    pub fn entries(&self, key: &str, most: usize) -> Vec<(Place, &'t str, &'t DeValue<'t>)> {
        let Some((place, value)) = self.get(key) else { return Vec::new() };
        let Some(table) = value.as_table() else {
            self.wrong_type(&place, key, "a table", value);
            return Vec::new();
        };
        if table.len() > most {
            self.error(&place, format!("'{key}' has {} entries: at most {most}", table.len()));
        }
        entries(self.source, table).take(most).collect()
    }

    /// A yes or no; no where it is not given.
    pub fn flag(&self, key: &str) -> bool {
        let Some((place, value)) = self.get(key) else { return false };
        value.as_bool().unwrap_or_else(|| {
            self.wrong_type(&place, key, "true or false", value);
            false
        })
    }

    /// A whole number within bounds.
    pub fn number(&self, key: &str, bounds: RangeInclusive<i64>) -> Option<(Place, i64)> {
        let (place, value) = self.get(key)?;
        let number = self.number_of(&place, key, value, bounds)?;
        Some((place, number))
    }

    fn number_of(
        &self,
        place: &Place,
        key: &str,
        value: &DeValue<'_>,
        bounds: RangeInclusive<i64>,
    ) -> Option<i64> {
        let Some(integer) = value.as_integer() else {
            self.wrong_type(place, key, "a whole number", value);
            return None;
        };
        let number = i64::from_str_radix(integer.as_str(), integer.radix()).ok();
        let found = number.filter(|number| bounds.contains(number));
        if found.is_none() {
            let (low, high) = (bounds.start(), bounds.end());
            self.error(place, format!("'{key}' is {}: from {low} to {high}", shown(integer.as_str())));
        }
        found
    }

    /// Two whole numbers: a place on the map.
    pub fn pair(&self, key: &str, bounds: &RangeInclusive<i64>) -> Option<(i64, i64)> {
        let (place, value) = self.get(key)?;
        let array = value.as_array().filter(|array| array.len() == 2);
        let Some(array) = array else {
            self.error(&place, format!("'{key}' takes two whole numbers, as in [3, -1]"));
            return None;
        };
        let number = |at: usize| self.number_of(&place, key, array[at].get_ref(), bounds.clone());
        Some((number(0)?, number(1)?))
    }

    /// A number in an entry of [`Fields::entries`].
    pub fn entry_number(
        &self,
        place: &Place,
        key: &str,
        value: &DeValue<'_>,
        bounds: RangeInclusive<i64>,
    ) -> Option<i64> {
        self.number_of(place, key, value, bounds)
    }
}

/// A table's entries with the places of their keys.
pub(super) fn entries<'t>(
    source: &'t Source<'t>,
    table: &'t DeTable<'t>,
) -> impl Iterator<Item = (Place, &'t str, &'t DeValue<'t>)> {
    table.iter().map(|(key, value): (&Spanned<_>, &Spanned<_>)| {
        (source.place(key.span()), key.get_ref().as_ref(), value.get_ref())
    })
}

/// What a value is, for people.
pub(super) fn type_name(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a text",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a number with a point",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}
