// RUN: gemma-opt --mlir-use-nameloc-as-prefix=false %s --canonicalize | FileCheck %s

gemma.weight @s from "s" : tensor<1xf32>

// A factor of 1 goes.
// CHECK-LABEL: func.func @scale_by_one
// CHECK-NEXT: return %arg0
func.func @scale_by_one(%x: tensor<?x48xf32>) -> tensor<?x48xf32> {
  %y = gemma.scale %x times 1.0 : tensor<?x48xf32>
  return %y : tensor<?x48xf32>
}

// Constant factors in a row become one.
// CHECK-LABEL: func.func @two_factors
// CHECK-NEXT: %[[Y:.+]] = gemma.scale %arg0 times 1.5
// CHECK-NEXT: return %[[Y]]
func.func @two_factors(%x: tensor<?x48xf32>) -> tensor<?x48xf32> {
  %y = gemma.scale %x times 3.0 : tensor<?x48xf32>
  %z = gemma.scale %y times 0.5 : tensor<?x48xf32>
  return %z : tensor<?x48xf32>
}

// A product that is no number is left alone.
// CHECK-LABEL: func.func @overflow
// CHECK-COUNT-2: gemma.scale
func.func @overflow(%x: tensor<?x48xf32>) -> tensor<?x48xf32> {
  %y = gemma.scale %x times 1.0e+300 : tensor<?x48xf32>
  %z = gemma.scale %y times 1.0e+300 : tensor<?x48xf32>
  return %z : tensor<?x48xf32>
}

// A weight is no constant.
// CHECK-LABEL: func.func @weights_stay
// CHECK-NEXT: gemma.scale %arg0 by @s
// CHECK-NEXT: gemma.scale %{{.+}} times 2.0
func.func @weights_stay(%x: tensor<?x48xf32>) -> tensor<?x48xf32> {
  %y = gemma.scale %x by @s : tensor<?x48xf32>
  %z = gemma.scale %y times 2.0 : tensor<?x48xf32>
  return %z : tensor<?x48xf32>
}

// All columns go.
// CHECK-LABEL: func.func @all_columns
// CHECK-NEXT: return %arg0
func.func @all_columns(%x: tensor<?x48xf32>) -> tensor<?x48xf32> {
  %y = gemma.columns %x [0, 48] : tensor<?x48xf32> -> tensor<?x48xf32>
  return %y : tensor<?x48xf32>
}

// Columns of columns are columns.
// CHECK-LABEL: func.func @nested_columns
// CHECK-NEXT: gemma.columns %arg0 [13, 20] : tensor<?x48xf32> -> tensor<?x7xf32>
func.func @nested_columns(%x: tensor<?x48xf32>) -> tensor<?x7xf32> {
  %y = gemma.columns %x [10, 30] : tensor<?x48xf32> -> tensor<?x20xf32>
  %z = gemma.columns %y [3, 10] : tensor<?x20xf32> -> tensor<?x7xf32>
  return %z : tensor<?x7xf32>
}
