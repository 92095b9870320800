// RUN: gemma-opt --mlir-use-nameloc-as-prefix=false %s --gemma-fuse-ple | FileCheck %s
// Twice is once.
// RUN: gemma-opt %s --gemma-fuse-ple -o %t.once
// RUN: gemma-opt %t.once --gemma-fuse-ple | diff %t.once -

gemma.weight @post from "post" : tensor<48xf32>
gemma.weight @table from "table" : tensor<90x24xf32>
gemma.weight @proj from "proj" : tensor<24x48xf32>
gemma.weight @pnorm from "pnorm" : tensor<8xf32>
gemma.weight @plg from "plg" : tensor<8x48xf32>
gemma.weight @plp from "plp" : tensor<48x8xf32>

// CHECK-LABEL: func.func @inputs
// CHECK-NEXT: %[[Y:.+]] = gemma.ple_inputs %arg1, %arg0 table(@table) proj(@proj) norm(@pnorm) layers [0, 3] width 8 token_scale 3.0 context_scale 0.5 scale 0.75 eps 1.0e-06
// CHECK-NEXT: return %[[Y]]
func.func @inputs(%h: tensor<?x48xf32>, %ids: tensor<?xi32>) -> tensor<?x24xf32> {
  %tok = gemma.embed %ids, @table soft zero scale 3.0 : tensor<?xi32> -> tensor<?x24xf32>
  %c0 = gemma.linear %h, @proj : tensor<?x48xf32> -> tensor<?x24xf32>
  %c1 = gemma.scale %c0 times 0.5 : tensor<?x24xf32>
  %ctx = gemma.rms_norm %c1 weight @pnorm size 8 eps 1.0e-06 : tensor<?x24xf32>
  %s = gemma.add %ctx, %tok : tensor<?x24xf32>
  %y = gemma.scale %s times 0.75 : tensor<?x24xf32>
  return %y : tensor<?x24xf32>
}

// CHECK-LABEL: func.func @some_layers
// CHECK-NEXT: gemma.ple_inputs {{.*}}layers [1, 3] {{.*}} -> tensor<?x16xf32>
// CHECK-NEXT: return
func.func @some_layers(%h: tensor<?x48xf32>, %ids: tensor<?xi32>) -> tensor<?x16xf32> {
  %tok = gemma.embed %ids, @table soft zero columns [8, 24] scale 3.0 : tensor<?xi32> -> tensor<?x16xf32>
  %c0 = gemma.linear %h, @proj rows [8, 24] : tensor<?x48xf32> -> tensor<?x16xf32>
  %c1 = gemma.scale %c0 times 0.5 : tensor<?x16xf32>
  %ctx = gemma.rms_norm %c1 weight @pnorm size 8 eps 1.0e-06 : tensor<?x16xf32>
  %s = gemma.add %ctx, %tok : tensor<?x16xf32>
  %y = gemma.scale %s times 0.75 : tensor<?x16xf32>
  return %y : tensor<?x16xf32>
}

// Absent factors are 1.
// CHECK-LABEL: func.func @no_factors
// CHECK-NEXT: gemma.ple_inputs {{.*}}context_scale 1.0 scale 1.0
// CHECK-NEXT: return
func.func @no_factors(%h: tensor<?x48xf32>, %ids: tensor<?xi32>) -> tensor<?x24xf32> {
  %tok = gemma.embed %ids, @table scale 3.0 : tensor<?xi32> -> tensor<?x24xf32>
  %c = gemma.linear %h, @proj : tensor<?x48xf32> -> tensor<?x24xf32>
  %ctx = gemma.rms_norm %c weight @pnorm size 8 eps 1.0e-06 : tensor<?x24xf32>
  %y = gemma.add %tok, %ctx : tensor<?x24xf32>
  return %y : tensor<?x24xf32>
}

// CHECK-LABEL: func.func @block
// CHECK-NEXT: %[[Y:.+]] = gemma.ple_block %arg0, %arg1 gate(@plg) proj(@plp) post(@post) eps 1.0e-06
// CHECK-NEXT: return %[[Y]]
func.func @block(%h: tensor<?x48xf32>, %ple: tensor<?x8xf32>) -> tensor<?x48xf32> {
  %g = gemma.linear %h, @plg : tensor<?x48xf32> -> tensor<?x8xf32>
  %a = gemma.geglu %g, %ple : tensor<?x8xf32>
  %o = gemma.linear %a, @plp : tensor<?x8xf32> -> tensor<?x48xf32>
  %n = gemma.rms_norm %o weight @post size 48 eps 1.0e-06 : tensor<?x48xf32>
  %y = gemma.add %h, %n : tensor<?x48xf32>
  return %y : tensor<?x48xf32>
}
