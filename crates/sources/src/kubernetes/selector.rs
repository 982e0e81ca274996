//! Label selectors, as claims and aggregated roles use them.

use std::sync::Arc;

use crate::document::Node;

use super::field::Reader;

pub(super) type Labels = Vec<(Arc<str>, Arc<str>)>;

/// `matchLabels` and `matchExpressions` of one LabelSelector; all must hold. An empty selector matches everything.
#[derive(Debug, Default)]
pub(super) struct Selector {
    requirements: Vec<Requirement>,
}

#[derive(Debug)]
struct Requirement {
    key: Arc<str>,
    operator: Operator,
    values: Vec<Arc<str>>,
}

#[derive(Debug, PartialEq)]
enum Operator {
    In,
    NotIn,
    Exists,
    DoesNotExist,
    /// Not one of the four: refused by the API server, matches nothing.
    Unknown,
}

impl Selector {
    pub(super) fn read(node: &Node, reader: &mut Reader) -> Selector {
        let mut requirements: Vec<Requirement> = match reader.mapping(node, "matchLabels") {
            Some(labels) => labels_of(&labels, reader)
                .into_iter()
                .map(|(key, value)| Requirement { key, operator: Operator::In, values: vec![value] })
                .collect(),
            None => Vec::new(),
        };
        for expression in reader.mappings(node, "matchExpressions") {
            let Some(key) = reader.string(&expression, "key").and_then(|k| k.value) else { continue };
            let operator = reader.string(&expression, "operator").and_then(|o| o.value);
            let operator = match operator.as_deref() {
                Some("In") => Operator::In,
                Some("NotIn") => Operator::NotIn,
                Some("Exists") => Operator::Exists,
                Some("DoesNotExist") => Operator::DoesNotExist,
                _ => Operator::Unknown,
            };
            requirements.push(Requirement { key, operator, values: reader.names(&expression, "values") });
        }
        Selector { requirements }
    }

    pub(super) fn matches(&self, labels: &Labels) -> bool {
        self.requirements.iter().all(|requirement| {
            let value = labels.iter().find(|(key, _)| *key == requirement.key).map(|(_, value)| value);
            match requirement.operator {
                Operator::In => value.is_some_and(|v| requirement.values.contains(v)),
                Operator::NotIn => value.is_none_or(|v| !requirement.values.contains(v)),
                Operator::Exists => value.is_some(),
                Operator::DoesNotExist => value.is_none(),
                Operator::Unknown => false,
            }
        })
    }
}

/// The labels of `metadata.labels` or `matchLabels`.
pub(super) fn labels_of(node: &Node, reader: &mut Reader) -> Labels {
    let mut labels = Labels::new();
    if !reader.spend(node.len(), node) {
        return labels;
    }
    for (key, value) in node.entries() {
        if let (Some(key), Some(value)) = (key.as_str(), reader.text(&value, "labels").value) {
            labels.push((key.into(), value));
        }
    }
    labels
}

/// The labels of an object.
pub(super) fn object_labels(object: &Node, reader: &mut Reader) -> Labels {
    let labels = object.get("metadata").and_then(|m| super::field::present(&m, "labels"));
    match labels {
        Some(labels) if labels.is_mapping() => labels_of(&labels, reader),
        _ => Labels::new(),
    }
}
