//! What a mapping shall hold, said once for all that is to change in it and below, and written in one pass.

use sources::document::Node;

use super::{Items, Value, change_entries, change_items, own_entry, refuse, set_entry};
use crate::draft::{Drafts, Refusal};

/// What one key of a mapping shall hold.
#[derive(Clone, Debug, PartialEq)]
pub enum Wish {
    /// This value.
    Set(Value),
    /// Nothing.
    Remove,
    /// A mapping in which these keys hold what is wished; removed where nothing is left in it.
    Within(Vec<(String, Wish)>),
    /// A list without some of its items, and with others at its end; removed where nothing is left in it.
    Items { remove: Vec<usize>, append: Vec<Value> },
}

impl Wish {
    pub fn text(text: impl Into<String>) -> Wish {
        Wish::Set(Value::text(text))
    }
    pub fn bool(value: bool) -> Wish {
        Wish::Set(Value::bool(value))
    }

    /// What is written where the key is not there yet.
    fn fresh(&self) -> Option<Value> {
        match self {
            Wish::Set(value) => Some(value.clone()),
            Wish::Remove => None,
            Wish::Within(wishes) => {
                let entries: Vec<(String, Value)> =
                    wishes.iter().filter_map(|(key, wish)| Some((key.clone(), wish.fresh()?))).collect();
                (!entries.is_empty()).then_some(Value::Map(entries))
            }
            Wish::Items { append, .. } => (!append.is_empty()).then(|| Value::List(append.clone())),
        }
    }

    /// Whether a key that holds this node is to go altogether.
    fn empties(&self, node: &Node) -> bool {
        match self {
            Wish::Set(_) => false,
            Wish::Remove => true,
            Wish::Within(wishes) => {
                self.fresh().is_none()
                    && !node.is_empty()
                    && node.own_entries().all(|(key, value)| {
                        let wish = wishes.iter().find(|(k, _)| key.as_str() == Some(k.as_str()));
                        wish.is_some_and(|(_, wish)| wish.empties(&value))
                    })
            }
            Wish::Items { remove, append } => {
                append.is_empty() && !node.is_empty() && (0..node.len()).all(|i| remove.contains(&i))
            }
        }
    }
}

/// The value of a key that is the mapping's own and nobody else's. What comes from a merge key or an alias, or is
/// used elsewhere by an anchor, is refused: changing it would change others.
pub fn own_value(mapping: &Node, key: &str) -> Result<Option<Node>, Refusal> {
    let Some((_, value)) = own_entry(mapping, key) else {
        return match mapping.get(key) {
            Some(_) => {
                Err(refuse(mapping, &format!("takes `{key}` from elsewhere by a merge key; write it out")))
            }
            None => Ok(None),
        };
    };
    if value.alias_place().is_some() {
        return Err(refuse(&value, &format!("(`{key}`) is an alias; write the value out")));
    }
    if let Some(place) = value.uses().next() {
        let line = place.line;
        return Err(refuse(&value, &format!("is also used at line {line} by an alias; write it out there")));
    }
    Ok(Some(value))
}

/// Makes the mapping hold what is wished.
pub fn fulfil(drafts: &mut Drafts<'_>, mapping: &Node, wishes: &[(String, Wish)]) -> Result<(), Refusal> {
    let mut removed: Vec<&str> = Vec::new();
    let mut inserted: Vec<(&str, Value)> = Vec::new();
    for (key, wish) in wishes {
        let Some(value) = own_value(mapping, key)? else {
            inserted.extend(wish.fresh().map(|value| (key.as_str(), value)));
            continue;
        };
        if wish.empties(&value) {
            removed.push(key);
            continue;
        }
        match wish {
            Wish::Set(new) if holds(&value, new) => {}
            Wish::Set(new) => set_entry(drafts, mapping, key, new)?,
            Wish::Within(below) if value.is_mapping() || (value.is_null() && !value.is_json()) => {
                // A null that nothing is put in stays.
                if wish.fresh().is_some() || value.is_mapping() {
                    fulfil(drafts, &value, below)?;
                }
            }
            Wish::Items { remove, append } if value.is_sequence() => {
                let items = Items { remove: remove.clone(), append: append.clone(), ..Items::default() };
                change_items(drafts, &value, &items)?;
            }
            Wish::Within(_) | Wish::Items { .. } if value.is_null() => {
                if let Some(new) = wish.fresh() {
                    set_entry(drafts, mapping, key, &new)?;
                }
            }
            _ => return Err(refuse(&value, "does not hold what belongs there")),
        }
    }
    change_entries(drafts, mapping, &removed, &inserted)
}

/// Whether the node says the value already.
fn holds(node: &Node, value: &Value) -> bool {
    match value {
        Value::Literal(text) => !node.is_quoted() && node.as_str() == Some(text),
        Value::Text(text) => node.as_string_strict() == Some(text),
        Value::List(items) => {
            node.is_sequence()
                && node.len() == items.len()
                && node.items().zip(items).all(|(n, v)| holds(&n, v))
        }
        Value::Map(entries) => {
            node.is_mapping()
                && node.len() == entries.len()
                && entries.iter().all(|(key, v)| node.get(key).is_some_and(|n| holds(&n, v)))
        }
    }
}

/// Adds a wish for what stands below these keys to the wishes for a mapping.
pub fn wish(wishes: &mut Vec<(String, Wish)>, keys: &[&str], wanted: Wish) {
    let Some((first, rest)) = keys.split_first() else { return };
    let position = wishes.iter().position(|(key, _)| key == first);
    let position = position.unwrap_or_else(|| {
        wishes.push(((*first).into(), Wish::Within(Vec::new())));
        wishes.len() - 1
    });
    let Some((_, held)) = wishes.get_mut(position) else { return };
    if rest.is_empty() {
        *held = wanted;
    } else if let Wish::Within(below) = held {
        wish(below, rest, wanted);
    }
}
