// RUN: gemma-opt %s --gemma-check-optimized --split-input-file --verify-diagnostics

// A root that was not fused: its reason, and nothing about the ops around it.
gemma.weight @gate from "gate" : tensor<48x48xf32> {act = "f32", format = "f32"}
func.func @body(%h: tensor<?x48xf32>) -> tensor<?x48xf32> attributes {gemma.segment = "body"} {
  %g = gemma.linear %h, @gate : tensor<?x48xf32> -> tensor<?x48xf32>
  // expected-error @below {{'gemma.geglu' op is not part of a fused op: the gate has 2 users}}
  %a = gemma.geglu %g, %h {gemma.not_fused = "the gate has 2 users"} : tensor<?x48xf32>
  %y = gemma.add %a, %g : tensor<?x48xf32>
  return %y : tensor<?x48xf32>
}

// -----

// Loose ops without a root.
func.func @body(%h: tensor<?x48xf32>) -> tensor<?x48xf32> attributes {gemma.segment = "body"} {
  // expected-error @below {{'gemma.add' op is not part of a fused op}}
  %y = gemma.add %h, %h : tensor<?x48xf32>
  // expected-error @below {{'gemma.scale' op is not part of a fused op}}
  %z = gemma.scale %y times 2.0 : tensor<?x48xf32>
  return %z : tensor<?x48xf32>
}

// -----

// A step that was not split.
// expected-error @below {{expects gemma.segment body, tail, top or logits, got step}}
func.func @step() attributes {gemma.segment = "step"} {
  return
}

// -----

// A function that is no segment.
// expected-error @below {{expects gemma.segment body, tail, top or logits, got none}}
func.func @f() {
  return
}

// -----

// Symbols without a format.
// expected-error @below {{expects format and act}}
gemma.weight @w from "w" : tensor<4xf32> {format = "f32"}
// expected-error @below {{expects a format}}
gemma.cache @c heads 2 dim 16 window 8
