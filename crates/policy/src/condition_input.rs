//! The published document of one subject in the forms that conditions and Rego policies take, each made once and only
//! where it is asked for.

use crate::rule::Input;

pub(crate) struct Inputs {
    document: serde_json::Value,
    cel: Option<Input>,
    rego: Option<regorus::Value>,
}

impl Inputs {
    pub(crate) fn of(document: serde_json::Value) -> Inputs {
        Inputs { document, cel: None, rego: None }
    }
    pub(crate) fn cel(&mut self) -> &Input {
        self.cel.get_or_insert_with(|| Input::of(&self.document))
    }
    pub(crate) fn rego(&mut self) -> &regorus::Value {
        self.rego.get_or_insert_with(|| regorus::Value::from(self.document.clone()))
    }
}
