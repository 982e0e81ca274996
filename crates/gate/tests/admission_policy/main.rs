//! Three who decide about the same pods: `stockade audit`, the webhook, and the emitted policies, evaluated in CEL as an
//! API server would. No API server takes part: ValidatingAdmissionPolicy wants Kubernetes 1.30, so the interpreter of
//! CEL (the crate `cel`) stands in for the API server's.

mod agreement;
mod corpora;
mod pods;
mod random;
mod rules;
