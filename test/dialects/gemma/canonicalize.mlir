// RUN: gemma-opt %s --canonicalize | FileCheck %s

gemma.weight @s from "s" : tensor<1xf32>

// A factor of 1 goes.
// CHECK-LABEL: func.func @scale_by_one
// CHECK-NEXT: return %arg0
func.func @scale_by_one(%x: tensor<?x48xf32>) -> tensor<?x48xf32> {
  %y = gemma.scale %x {factor = 1.0 : f64} : tensor<?x48xf32>
  return %y : tensor<?x48xf32>
}

// Constant factors in a row become one.
// CHECK-LABEL: func.func @two_factors
// CHECK-NEXT: %[[Y:.+]] = gemma.scale %arg0 {factor = 1.500000e+00 : f64}
// CHECK-NEXT: return %[[Y]]
func.func @two_factors(%x: tensor<?x48xf32>) -> tensor<?x48xf32> {
  %y = gemma.scale %x {factor = 3.0 : f64} : tensor<?x48xf32>
  %z = gemma.scale %y {factor = 0.5 : f64} : tensor<?x48xf32>
  return %z : tensor<?x48xf32>
}

// A product that is no number is left alone.
// CHECK-LABEL: func.func @overflow
// CHECK-COUNT-2: gemma.scale
func.func @overflow(%x: tensor<?x48xf32>) -> tensor<?x48xf32> {
  %y = gemma.scale %x {factor = 1.0e300 : f64} : tensor<?x48xf32>
  %z = gemma.scale %y {factor = 1.0e300 : f64} : tensor<?x48xf32>
  return %z : tensor<?x48xf32>
}

// A weight is no constant.
// CHECK-LABEL: func.func @weights_stay
// CHECK-NEXT: gemma.scale %arg0 by @s
// CHECK-NEXT: gemma.scale %{{.+}} {factor = 2.000000e+00 : f64}
func.func @weights_stay(%x: tensor<?x48xf32>) -> tensor<?x48xf32> {
  %y = gemma.scale %x by @s : tensor<?x48xf32>
  %z = gemma.scale %y {factor = 2.0 : f64} : tensor<?x48xf32>
  return %z : tensor<?x48xf32>
}

// All columns go.
// CHECK-LABEL: func.func @all_columns
// CHECK-NEXT: return %arg0
func.func @all_columns(%x: tensor<?x48xf32>) -> tensor<?x48xf32> {
  %y = gemma.columns %x {range = array<i64: 0, 48>} : tensor<?x48xf32> -> tensor<?x48xf32>
  return %y : tensor<?x48xf32>
}

// Columns of columns are columns.
// CHECK-LABEL: func.func @nested_columns
// CHECK-NEXT: gemma.columns %arg0 {range = array<i64: 13, 20>} : tensor<?x48xf32> -> tensor<?x7xf32>
func.func @nested_columns(%x: tensor<?x48xf32>) -> tensor<?x7xf32> {
  %y = gemma.columns %x {range = array<i64: 10, 30>} : tensor<?x48xf32> -> tensor<?x20xf32>
  %z = gemma.columns %y {range = array<i64: 3, 10>} : tensor<?x20xf32> -> tensor<?x7xf32>
  return %z : tensor<?x7xf32>
}
