//! The flat settings as a tree that serde reads.

use std::collections::BTreeMap;

use serde::de::value::{MapDeserializer, StrDeserializer};
use serde::de::{Deserializer, IntoDeserializer, Visitor};
use serde::forward_to_deserialize_any;

use super::SettingsError;

/// A setting, or a table of them.
#[derive(Debug, Default)]
pub(super) struct Tree<'a> {
    value: Option<&'a str>,
    below: BTreeMap<&'a str, Tree<'a>>,
}

impl<'a> Tree<'a> {
    /// Takes `a.b` apart; a later value of a name wins.
    pub(super) fn new(settings: &'a [(String, String)]) -> Self {
        let mut root = Self::default();
        for (name, value) in settings {
            let mut at = &mut root;
            for part in name.split('.') {
                at = at.below.entry(part).or_default();
            }
            at.value = Some(value);
        }
        root
    }

    fn text(&self) -> Result<&'a str, SettingsError> {
        self.value
            .ok_or_else(|| SettingsError::new("it is a table, and one value is wanted"))
    }

    fn parse<T: std::str::FromStr>(&self, wanted: &str) -> Result<T, SettingsError> {
        let text = self.text()?;
        text.trim()
            .parse()
            .map_err(|_| SettingsError::new(format!("`{text}` is not {wanted}")))
    }

    fn is_list(&self) -> bool {
        !self.below.is_empty() && self.below.keys().all(|key| key.parse::<usize>().is_ok())
    }
}

/// A tree with the name under which it stands, for errors.
struct Named<'t, 'a>(&'t str, &'t Tree<'a>);

macro_rules! numbers {
    ($($method:ident $visit:ident $wanted:literal,)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, SettingsError> {
            visitor.$visit(self.parse($wanted)?)
        }
    )*};
}

impl<'de> Deserializer<'de> for &Tree<'_> {
    type Error = SettingsError;

    numbers! {
        deserialize_bool visit_bool "true or false",
        deserialize_i8 visit_i8 "a whole number from -128 to 127",
        deserialize_i16 visit_i16 "a whole number from -32768 to 32767",
        deserialize_i32 visit_i32 "a whole number",
        deserialize_i64 visit_i64 "a whole number",
        deserialize_u8 visit_u8 "a whole number from 0 to 255",
        deserialize_u16 visit_u16 "a whole number from 0 to 65535",
        deserialize_u32 visit_u32 "a whole number, 0 or more",
        deserialize_u64 visit_u64 "a whole number, 0 or more",
        deserialize_f32 visit_f32 "a number",
        deserialize_f64 visit_f64 "a number",
        deserialize_char visit_char "one character",
    }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, SettingsError> {
        match self.value {
            Some(text) => visitor.visit_str(text),
            None => self.deserialize_map(visitor),
        }
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, SettingsError> {
        visitor.visit_str(self.text()?)
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, SettingsError> {
        self.deserialize_str(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, SettingsError> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, SettingsError> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, SettingsError> {
        let name: StrDeserializer<'_, SettingsError> = self.text()?.into_deserializer();
        visitor.visit_enum(name)
    }

    /// A list is a table with the names 0, 1, 2 …; a value alone is its parts between
    /// commas.
    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, SettingsError> {
        if self.is_list() {
            let mut items: Vec<_> = self.below.iter().collect();
            items.sort_by_key(|(key, _)| key.parse::<usize>().unwrap_or_default());
            let items = items.into_iter().map(|(key, tree)| Named(key, tree));
            return visitor.visit_seq(serde::de::value::SeqDeserializer::new(items));
        }
        let text = self.text()?;
        let parts = text.split(',').map(str::trim);
        let parts: Vec<_> = parts.filter(|part| !part.is_empty()).collect();
        visitor.visit_seq(serde::de::value::SeqDeserializer::new(parts.into_iter()))
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, SettingsError> {
        if self.value.is_some() {
            return Err(SettingsError::new("it is one value, and a table is wanted"));
        }
        let entries = self
            .below
            .iter()
            .map(|(&key, tree)| (key, Named(key, tree)));
        visitor.visit_map(MapDeserializer::new(entries))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, SettingsError> {
        self.deserialize_map(visitor)
    }

    forward_to_deserialize_any! {
        bytes byte_buf unit unit_struct tuple tuple_struct identifier ignored_any
    }
}

macro_rules! named {
    ($($method:ident,)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, SettingsError> {
            self.1.$method(visitor).map_err(|error| error.within(self.0))
        }
    )*};
}

impl<'de> Deserializer<'de> for Named<'_, '_> {
    type Error = SettingsError;

    named! {
        deserialize_any, deserialize_bool, deserialize_i8, deserialize_i16, deserialize_i32,
        deserialize_i64, deserialize_u8, deserialize_u16, deserialize_u32, deserialize_u64,
        deserialize_f32, deserialize_f64, deserialize_char, deserialize_str,
        deserialize_string, deserialize_bytes, deserialize_byte_buf, deserialize_option,
        deserialize_unit, deserialize_seq, deserialize_map, deserialize_identifier,
        deserialize_ignored_any,
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, SettingsError> {
        let result = self.1.deserialize_unit_struct(name, visitor);
        result.map_err(|error| error.within(self.0))
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, SettingsError> {
        let result = self.1.deserialize_newtype_struct(name, visitor);
        result.map_err(|error| error.within(self.0))
    }

    fn deserialize_tuple<V: Visitor<'de>>(
        self,
        _: usize,
        visitor: V,
    ) -> Result<V::Value, SettingsError> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: usize,
        visitor: V,
    ) -> Result<V::Value, SettingsError> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, SettingsError> {
        let result = self.1.deserialize_struct(name, fields, visitor);
        result.map_err(|error| error.within(self.0))
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, SettingsError> {
        let result = self.1.deserialize_enum(name, variants, visitor);
        result.map_err(|error| error.within(self.0))
    }
}

impl IntoDeserializer<'_, SettingsError> for Named<'_, '_> {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}
