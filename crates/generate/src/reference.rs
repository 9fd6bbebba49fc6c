//! A description of a config struct, made from its JSON schema and its default.

use anyhow::{Context, bail};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Map, Value};

/// A configuration: sections and keys, in the order of the struct.
#[derive(Debug, PartialEq, Serialize)]
pub(super) struct Reference {
    /// What the configuration is for.
    pub description: String,
    /// The sections; keys before the first one are in a section without a name.
    pub sections: Vec<Section>,
}

/// A section of a configuration.
#[derive(Debug, PartialEq, Serialize)]
pub(super) struct Section {
    /// As in the file, `network`; empty for the top of the file.
    pub name: String,
    /// Its description.
    pub description: String,
    /// Whether it is a list of tables, `[[address_map]]`, which is empty by default. The
    /// defaults of its keys are examples then.
    pub is_list: bool,
    /// Its own keys.
    pub keys: Vec<Key>,
}

/// A key of a configuration.
#[derive(Debug, PartialEq, Serialize)]
pub(super) struct Key {
    /// As in the file, without the section.
    pub name: String,
    /// What it does. Lines are as in the doc comment.
    pub description: String,
    /// The type of its value.
    #[serde(flatten)]
    pub kind: Kind,
    /// Its default; an example in a list of tables.
    pub default: Value,
    /// Whether a change takes effect at a restart only.
    pub needs_restart: bool,
}

/// The type of a value.
#[derive(Debug, PartialEq, Serialize)]
#[serde(rename_all = "lowercase", tag = "type", content = "values")]
pub(super) enum Kind {
    /// True or false.
    Boolean,
    /// A whole number.
    Integer {
        /// The minimum.
        minimum: i64,
        /// The maximum, if there is one.
        maximum: Option<i64>,
        /// The range and unit, as a sentence.
        #[serde(skip)]
        range: Option<String>,
    },
    /// A number.
    Number,
    /// A text.
    Text,
    /// One of several texts.
    Choice(Vec<Choice>),
    /// A list of texts.
    Texts {
        /// Whether a single text may be used instead of a list.
        or_one: bool,
    },
}

/// One of several texts.
#[derive(Debug, PartialEq, Serialize)]
pub(super) struct Choice {
    /// The text.
    pub value: String,
    /// What it means.
    pub description: String,
}

impl Reference {
    /// Describes the config struct `C`.
    ///
    /// # Errors
    ///
    /// If the struct has a type that is not supported here, or a key that its default does not
    /// have.
    pub(super) fn of<C: JsonSchema + Serialize + Default>() -> anyhow::Result<Self> {
        let schema = schemars::schema_for!(C).to_value();
        let defaults = serde_json::to_value(C::default())?;
        let mut walk = Walk {
            definitions: schema.get("$defs").and_then(Value::as_object),
            sections: Vec::new(),
        };
        walk.section(String::new(), String::new(), &schema, &defaults)?;
        Ok(Self {
            description: description(&schema),
            sections: walk.sections,
        })
    }
}

impl Reference {
    /// Notes which keys need a restart, by their names with sections.
    pub(super) fn note_restarts(&mut self, needs_restart: impl Fn(&str) -> bool) {
        for section in &mut self.sections {
            for key in &mut section.keys {
                let full = match section.name.as_str() {
                    "" => key.name.clone(),
                    name => format!("{name}.{}", key.name),
                };
                key.needs_restart = needs_restart(&full);
            }
        }
    }
}

struct Walk<'s> {
    definitions: Option<&'s Map<String, Value>>,
    sections: Vec<Section>,
}

impl<'s> Walk<'s> {
    /// Adds a section, then the sections within it.
    fn section(
        &mut self,
        name: String,
        description: String,
        schema: &'s Value,
        defaults: &Value,
    ) -> anyhow::Result<()> {
        let mut keys = Vec::new();
        let mut inner = Vec::new();
        let properties = schema.get("properties").and_then(Value::as_object);
        for (key, property) in properties.into_iter().flatten() {
            let full = if name.is_empty() {
                key.clone()
            } else {
                format!("{name}.{key}")
            };
            let default = defaults
                .get(key)
                .with_context(|| format!("{full} has no default"))?;
            let resolved = self.resolve(property)?;
            let description = documented(property, resolved)
                .with_context(|| format!("{full} has no doc comment"))?;
            if resolved.get("properties").is_some() {
                inner.push(Inner::Section(full, description, resolved, default));
                continue;
            }
            if let Some(items) = resolved.get("items")
                && let items = self.resolve(items)?
                && items.get("properties").is_some()
            {
                inner.push(Inner::List(full, description, items));
                continue;
            }
            keys.push(Key {
                name: key.clone(),
                description,
                kind: kind(resolved).with_context(|| full)?,
                default: default.clone(),
                needs_restart: false,
            });
        }
        self.sections.push(Section {
            name,
            description,
            is_list: false,
            keys,
        });
        for one in inner {
            match one {
                Inner::Section(name, description, schema, defaults) => {
                    self.section(name, description, schema, defaults)?;
                }
                Inner::List(name, description, items) => self.list(name, description, items)?,
            }
        }
        Ok(())
    }

    /// Adds a list of tables.
    fn list(&mut self, name: String, description: String, items: &'s Value) -> anyhow::Result<()> {
        let examples = items.get("properties").and_then(Value::as_object);
        let examples = examples.into_iter().flatten().map(|(key, property)| {
            let example = property.get("examples").and_then(|all| all.get(0));
            let example = example.with_context(|| format!("{name}.{key} has no example"))?;
            Ok((key.clone(), example.clone()))
        });
        let examples: Map<String, Value> = examples.collect::<anyhow::Result<_>>()?;
        let before = self.sections.len();
        self.section(name, description, items, &examples.into())?;
        anyhow::ensure!(
            self.sections.len() == before + 1,
            "sections in a list of tables"
        );
        self.sections[before].is_list = true;
        Ok(())
    }

    /// Follows a reference to a definition.
    fn resolve(&self, schema: &'s Value) -> anyhow::Result<&'s Value> {
        let Some(reference) = schema.get("$ref").and_then(Value::as_str) else {
            return Ok(schema);
        };
        reference
            .strip_prefix("#/$defs/")
            .and_then(|name| self.definitions?.get(name))
            .with_context(|| format!("there is no definition {reference}"))
    }
}

/// A section, or a list of tables, within another section.
enum Inner<'s, 'd> {
    /// With its defaults.
    Section(String, String, &'s Value, &'d Value),
    List(String, String, &'s Value),
}

/// The doc comment of a field, or of its type.
fn documented(property: &Value, resolved: &Value) -> Option<String> {
    [property, resolved]
        .into_iter()
        .map(description)
        .find(|description| !description.is_empty())
}

fn description(schema: &Value) -> String {
    let text = schema.get("description").and_then(Value::as_str);
    text.unwrap_or_default().to_owned()
}

fn kind(schema: &Value) -> anyhow::Result<Kind> {
    if let Some(choices) = schema.get("oneOf").or(schema.get("enum")) {
        let choices = choices.as_array().context("choices are not a list")?;
        return choices
            .iter()
            .map(choice)
            .collect::<anyhow::Result<_>>()
            .map(Kind::Choice);
    }
    if schema.get("anyOf").is_some() {
        return Ok(Kind::Texts { or_one: true });
    }
    match schema.get("type").and_then(Value::as_str) {
        Some("boolean") => Ok(Kind::Boolean),
        Some("string") => Ok(Kind::Text),
        Some("array") => Ok(Kind::Texts { or_one: false }),
        Some("number") => Ok(Kind::Number),
        Some("integer") => Ok(Kind::Integer {
            minimum: bound(schema, "minimum").unwrap_or(i64::MIN),
            maximum: bound(schema, "maximum"),
            range: schema.get("range").and_then(Value::as_str).map(sentence),
        }),
        _ => bail!("cannot describe the type {schema}"),
    }
}

fn bound(schema: &Value, name: &str) -> Option<i64> {
    schema.get(name).and_then(Value::as_i64)
}

fn sentence(text: &str) -> String {
    let mut sentence = format!("{text}.");
    if let Some(first) = sentence.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    sentence
}

fn choice(schema: &Value) -> anyhow::Result<Choice> {
    let value = schema.get("const").unwrap_or(schema);
    Ok(Choice {
        value: value.as_str().context("a choice is not a text")?.to_owned(),
        description: description(schema),
    })
}

#[cfg(test)]
mod tests {
    use aquatic_service::config::numbers::{Count, Seconds, ZeroOr};

    use super::*;

    #[derive(Serialize, JsonSchema)]
    #[serde(default)]
    /// Describes
    /// everything.
    struct Everything {
        /// Whether.
        boolean: bool,
        /// How many.
        number: Seconds<0, 5>,
        /// Perhaps.
        other: ZeroOr<Count<2, 5>>,
        /// Any.
        any: u64,
        /// Which.
        level: Level,
        /// Inside.
        section: Inner,
        /// Last.
        text: String,
    }

    impl Default for Everything {
        fn default() -> Self {
            Self {
                boolean: false,
                number: Seconds::of::<3>(),
                other: ZeroOr::ZERO,
                any: 7,
                level: Level::Off,
                section: Inner::default(),
                text: String::new(),
            }
        }
    }

    #[derive(Serialize, JsonSchema, Default)]
    #[serde(default)]
    struct Inner {
        /// All of them.
        list: Vec<String>,
        /// Each.
        tables: Vec<Entry>,
    }

    #[derive(Serialize, JsonSchema, Default)]
    #[serde(default)]
    struct Entry {
        /// From where.
        #[schemars(example = &"here")]
        from: String,
    }

    #[derive(Serialize, JsonSchema, Default)]
    #[serde(rename_all = "lowercase")]
    enum Level {
        /// None.
        #[default]
        Off,
        /// All.
        #[expect(dead_code, reason = "only its place in the schema matters")]
        On,
    }

    #[test]
    fn walks_keys_in_order_and_sections_after_them() {
        let reference = Reference::of::<Everything>().unwrap();
        assert_eq!(reference.description, "Describes\neverything.");
        let [top, section, list] = &reference.sections[..] else {
            panic!("{reference:#?}");
        };
        let names: Vec<_> = top.keys.iter().map(|key| key.name.as_str()).collect();
        let expected = ["boolean", "number", "other", "any", "level", "text"];
        assert_eq!(names, expected);
        assert_eq!(top.keys[0].kind, Kind::Boolean);
        assert_eq!(
            top.keys[1].kind,
            Kind::Integer {
                minimum: 0,
                maximum: Some(5),
                range: Some("From 0 to 5 seconds.".to_owned()),
            }
        );
        let Kind::Integer { range, .. } = &top.keys[2].kind else {
            panic!("{top:#?}");
        };
        assert_eq!(range.as_deref(), Some("0, or from 2 to 5."));
        assert!(matches!(
            top.keys[3].kind,
            Kind::Integer { range: None, .. }
        ));
        let Kind::Choice(choices) = &top.keys[4].kind else {
            panic!("{top:#?}");
        };
        assert_eq!(choices[1].value, "on");
        assert_eq!(choices[1].description, "All.");
        assert_eq!(top.keys[4].default, "off");
        assert_eq!(section.name, "section");
        assert_eq!(section.description, "Inside.");
        assert_eq!(section.keys[0].kind, Kind::Texts { or_one: false });
        assert_eq!(section.keys.len(), 1);
        assert!(list.is_list && !section.is_list);
        assert_eq!(
            (&*list.name, &*list.description),
            ("section.tables", "Each.")
        );
        assert_eq!(list.keys[0].name, "from");
        assert_eq!(list.keys[0].default, "here");
    }

    #[derive(Serialize, JsonSchema, Default)]
    struct Undocumented {
        key: bool,
    }

    #[test]
    fn a_key_without_documentation_is_an_error() {
        let error = Reference::of::<Undocumented>().unwrap_err();
        assert_eq!(error.to_string(), "key has no doc comment");
    }
}
