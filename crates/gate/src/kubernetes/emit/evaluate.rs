//! What an API server would make of a request by emitted policies: their CEL is evaluated here as Kubernetes does it
//! (staging/src/k8s.io/apiserver/pkg/admission/plugin/policy/validating), with an interpreter of CEL that is not
//! Kubernetes' own. The tests decide by it; whoever has policies can ask it what they would do.
//!
//! An expression that cannot be evaluated is a failure, and `failurePolicy: Fail` makes a failure what the binding's
//! actions say. What Kubernetes limits and this does not is the cost of an expression.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, LazyLock};

use cel::{Context, Env, Program, Value};
use serde_json::Value as Json;

use super::object::{Action, AdmissionPolicy, Binding, FailurePolicy, Object, ResourceRule};

/// CEL's standard library and the extension of texts, whose functions Kubernetes has under the same names.
static ENVIRONMENT: LazyLock<Arc<Env>> = LazyLock::new(|| {
    let mut env = Env::stdlib();
    // It declares other names than the standard library.
    let declared = cel::extensions::strings(&mut env);
    debug_assert!(declared.is_ok());
    Arc::new(env)
});

/// What is wrong with a policy.
#[derive(Debug, thiserror::Error)]
#[error("{policy}: {what}: {message}")]
pub struct CompileError {
    pub policy: String,
    /// `variables.containers`, `validations[3].expression`.
    pub what: String,
    pub message: String,
}

/// Policies with their bindings, compiled.
#[derive(Debug)]
pub struct Policies {
    policies: Vec<Compiled>,
}

#[derive(Debug)]
struct Compiled {
    policy: AdmissionPolicy,
    actions: Vec<Action>,
    conditions: Vec<Program>,
    variables: Vec<(String, Program)>,
    validations: Vec<(Program, Option<Program>)>,
}

/// What one validation says against a request, or why it could not be evaluated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Objection {
    pub policy: String,
    pub actions: Vec<Action>,
    pub message: String,
    /// It could not be evaluated.
    pub is_error: bool,
}

/// All that is said about a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    pub objections: Vec<Objection>,
}

impl Answer {
    fn with(&self, action: Action) -> impl Iterator<Item = &Objection> {
        self.objections.iter().filter(move |o| o.actions.contains(&action))
    }
    pub fn is_denied(&self) -> bool {
        self.with(Action::Deny).next().is_some()
    }
    pub fn warns(&self) -> bool {
        self.with(Action::Warn).next().is_some()
    }
}

impl Policies {
    pub fn compile(objects: &[Object]) -> Result<Policies, CompileError> {
        let bindings: Vec<&Binding> = objects
            .iter()
            .filter_map(|object| match object {
                Object::Binding(binding) => Some(binding),
                Object::Policy(_) => None,
            })
            .collect();
        let mut policies = Vec::new();
        for object in objects {
            let Object::Policy(policy) = object else { continue };
            let of = |b: &&&Binding| b.spec.policy_name == policy.metadata.name;
            for binding in bindings.iter().filter(of) {
                policies.push(Compiled::of(policy, binding)?);
            }
        }
        Ok(Policies { policies })
    }

    /// Decides about the `request` of an AdmissionReview.
    pub fn review(&self, request: &Json, namespace: Option<&Json>) -> Answer {
        let mut answer = Answer::default();
        for policy in &self.policies {
            if policy.is_about(request) {
                policy.review(request, namespace, &mut answer.objections);
            }
        }
        answer
    }
}

impl Compiled {
    fn of(policy: &AdmissionPolicy, binding: &Binding) -> Result<Compiled, CompileError> {
        let compile = |what: String, source: &str| {
            ENVIRONMENT.compile(source).map_err(|errors| CompileError {
                policy: policy.metadata.name.clone(),
                what,
                message: errors.errors.first().map(|e| e.msg.clone()).unwrap_or_default(),
            })
        };
        let spec = &policy.spec;
        let conditions = spec
            .match_conditions
            .iter()
            .map(|c| compile(format!("matchConditions.{}", c.name), &c.expression))
            .collect::<Result<_, _>>()?;
        let variables = spec
            .variables
            .iter()
            .map(|v| Ok((v.name.clone(), compile(format!("variables.{}", v.name), &v.expression)?)))
            .collect::<Result<_, CompileError>>()?;
        let validations = spec
            .validations
            .iter()
            .enumerate()
            .map(|(n, v)| {
                let expression = compile(format!("validations[{n}].expression"), &v.expression)?;
                let message = v
                    .message_expression
                    .as_ref()
                    .map(|m| compile(format!("validations[{n}].messageExpression"), m));
                Ok((expression, message.transpose()?))
            })
            .collect::<Result<_, CompileError>>()?;
        Ok(Compiled {
            policy: policy.clone(),
            actions: binding.spec.validation_actions.clone(),
            conditions,
            variables,
            validations,
        })
    }

    fn is_about(&self, request: &Json) -> bool {
        self.policy.spec.match_constraints.resource_rules.iter().any(|rule| matches_rule(rule, request))
    }

    fn review(&self, request: &Json, namespace: Option<&Json>, objections: &mut Vec<Objection>) {
        let mut context = Context::with_env(ENVIRONMENT.clone());
        let member = |name: &str| value(request.get(name).unwrap_or(&Json::Null));
        context.add_variable_from_value("object", member("object"));
        context.add_variable_from_value("oldObject", member("oldObject"));
        context.add_variable_from_value("namespaceObject", value(namespace.unwrap_or(&Json::Null)));
        let mut asked = request.clone();
        if let Some(asked) = asked.as_object_mut() {
            asked.remove("object");
            asked.remove("oldObject");
        }
        context.add_variable_from_value("request", value(&asked));
        let fails = self.policy.spec.failure_policy == FailurePolicy::Fail;
        let objection = |message: String, is_error: bool| Objection {
            policy: self.policy.metadata.name.clone(),
            actions: self.actions.clone(),
            message,
            is_error,
        };
        // One that is false takes the policy out of it, whatever is wrong with the others.
        let conditions: Vec<_> = self.conditions.iter().map(|c| truth(c, &context)).collect();
        if conditions.contains(&Ok(false)) {
            return;
        }
        if let Some(Err(error)) = conditions.into_iter().find(Result::is_err) {
            if fails {
                objections.push(objection(format!("match condition: {error}"), true));
            }
            return;
        }
        // Kubernetes makes a variable when it is first asked for, and one that cannot be made is an error for whoever
        // asks. Here it is left out then, which is the same for all who do.
        let mut made: BTreeMap<String, Value> = BTreeMap::new();
        for (name, program) in &self.variables {
            bind(&mut context, &made);
            if let Ok(value) = program.execute(&context) {
                made.insert(name.clone(), value);
            }
        }
        bind(&mut context, &made);
        for ((expression, message), validation) in self.validations.iter().zip(&self.policy.spec.validations)
        {
            match truth(expression, &context) {
                Ok(true) => {}
                Ok(false) => {
                    let told = message.as_ref().and_then(|m| match m.execute(&context) {
                        Ok(Value::String(text)) if is_message(&text) => Some(text.to_string()),
                        _ => None,
                    });
                    objections.push(objection(told.unwrap_or_else(|| validation.message.clone()), false));
                }
                Err(error) if fails => {
                    objections.push(objection(format!("expression: {error}"), true));
                }
                Err(_) => {}
            }
        }
    }
}

fn bind(context: &mut Context<'_, '_>, made: &BTreeMap<String, Value>) {
    let members: HashMap<String, Value> = made.iter().map(|(k, v)| (k.clone(), v.clone())).collect();
    context.add_variable_from_value("variables", Value::from(members));
}

fn truth(program: &Program, context: &Context<'_, '_>) -> Result<bool, String> {
    match program.execute(context) {
        Ok(Value::Bool(truth)) => Ok(truth),
        Ok(_) => Err("is neither true nor false".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

/// Kubernetes takes no other text of an expression for a message (`validator.go`, `MaxEvaluatedMessageExpressionSizeBytes`).
fn is_message(text: &str) -> bool {
    !text.trim().is_empty() && !text.contains('\n') && text.len() <= 5 * 1024
}

fn matches_rule(rule: &ResourceRule, request: &Json) -> bool {
    let text = |value: &Json, key: &str| value.get(key).and_then(Json::as_str).unwrap_or("").to_owned();
    let resource = request.get("resource").unwrap_or(&Json::Null);
    let (name, sub) = (text(resource, "resource"), text(request, "subResource"));
    let asked = if sub.is_empty() { name } else { format!("{name}/{sub}") };
    rule.api_groups.contains(&text(resource, "group"))
        && rule.api_versions.contains(&text(resource, "version"))
        && rule.operations.contains(&text(request, "operation"))
        && rule.resources.contains(&asked)
}

/// As the API server hands an object to CEL: decoded into its type first, which leaves no null in it.
fn value(json: &Json) -> Value {
    match json {
        Json::Null => Value::Null,
        Json::Bool(b) => Value::Bool(*b),
        Json::Number(n) => match n.as_i64() {
            Some(integer) => Value::Int(integer),
            None => Value::Float(n.as_f64().unwrap_or(f64::NAN)),
        },
        Json::String(s) => Value::String(Arc::new(s.clone())),
        Json::Array(items) => Value::List(Arc::new(items.iter().map(value).collect())),
        Json::Object(members) => {
            let kept = members.iter().filter(|(_, v)| !v.is_null());
            let map: HashMap<String, Value> = kept.map(|(k, v)| (k.clone(), value(v))).collect();
            Value::from(map)
        }
    }
}
