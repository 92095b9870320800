// Every op of the towers survives printing and parsing, and fused ones are what
// gemma-expand makes of them.
// RUN: gemma-opt --mlir-use-nameloc-as-prefix=false %s --verify-roundtrip | FileCheck %s
// RUN: gemma-opt --mlir-use-nameloc-as-prefix=false %s --gemma-expand | FileCheck %s --check-prefix=EXPAND

gemma.weight @d from "d" : tensor<48xf32>
gemma.weight @lo from "lo" : tensor<1xf32>
gemma.weight @hi from "hi" : tensor<1xf32>
gemma.weight @hd from "hd" : tensor<16xf32>
gemma.weight @sq from "sq" : tensor<48x48xf32>
gemma.weight @wide from "wide" : tensor<96x48xf32>
gemma.weight @back from "back" : tensor<48x96xf32>
gemma.weight @outer from "outer" : tensor<2x10x48xf32>
gemma.weight @inner from "inner" : tensor<10x2x48xf32>
gemma.weight @kernel from "kernel" : tensor<144xf32>
gemma.weight @channels from "channels" : tensor<16xf32>
gemma.weight @taps from "taps" : tensor<240xf32>

// CHECK-LABEL: func.func @primitives
func.func @primitives(%x: tensor<?x48xf32>, %position: tensor<?x2xi32>, %rope: tensor<?x8x2xf32>, %frames: tensor<?x8xf32>) attributes {gemma.segment = "image"} {
  // CHECK-NEXT: gemma.affine %{{.+}} times 2.0 plus -1.0 : tensor<?x48xf32>
  %0 = gemma.affine %x times 2.0 plus -1.0 : tensor<?x48xf32>
  // CHECK-NEXT: gemma.clamp %{{.+}} to(@lo, @hi) : tensor<?x48xf32>
  %1 = gemma.clamp %0 to (@lo, @hi) : tensor<?x48xf32>
  // CHECK-NEXT: gemma.bias %{{.+}}, @d : tensor<?x48xf32>
  %2 = gemma.bias %1, @d : tensor<?x48xf32>
  // CHECK-NEXT: gemma.standardize %{{.+}} bias(@d) scale(@d) : tensor<?x48xf32>
  %3 = gemma.standardize %2 bias(@d) scale(@d) : tensor<?x48xf32>
  // CHECK-NEXT: gemma.add_positions %{{.+}} at %{{.+}}, @outer : tensor<?x48xf32>, tensor<?x2xi32>
  %4 = gemma.add_positions %3 at %position, @outer : tensor<?x48xf32>, tensor<?x2xi32>
  // CHECK-NEXT: gemma.add_positions %{{.+}} at %{{.+}}, inner @inner : tensor<?x48xf32>, tensor<?x2xi32>
  %5 = gemma.add_positions %4 at %position, inner @inner : tensor<?x48xf32>, tensor<?x2xi32>
  // CHECK-NEXT: gemma.rope2d %{{.+}}, %{{.+}} dim 16 : tensor<?x48xf32>, tensor<?x8x2xf32>
  %6 = gemma.rope2d %5, %rope dim 16 : tensor<?x48xf32>, tensor<?x8x2xf32>
  // CHECK-NEXT: gemma.self_attention %{{.+}}, %{{.+}}, %{{.+}} dim 16 : tensor<?x48xf32>
  %7 = gemma.self_attention %6, %6, %5 dim 16 : tensor<?x48xf32>
  // CHECK-NEXT: gemma.pool %{{.+}} rows 9 times 0.5 : tensor<?x48xf32> -> tensor<?x48xf32>
  %8 = gemma.pool %7 rows 9 times 0.5 : tensor<?x48xf32> -> tensor<?x48xf32>
  // CHECK-NEXT: gemma.layer_norm %{{.+}} weight @hd size 16 eps 1.0e-05 : tensor<?x48xf32>
  %9 = gemma.layer_norm %8 weight @hd size 16 eps 1.0e-05 : tensor<?x48xf32>
  // CHECK-NEXT: gemma.layer_norm %{{.+}} weight @d bias @d size 48 eps 1.0e-05 : tensor<?x48xf32>
  %10 = gemma.layer_norm %9 weight @d bias @d size 48 eps 1.0e-05 : tensor<?x48xf32>
  // CHECK-NEXT: gemma.conv2d %{{.+}}, @kernel bins 8 : tensor<?x8xf32> -> tensor<?x64xf32>
  %11 = gemma.conv2d %frames, @kernel bins 8 : tensor<?x8xf32> -> tensor<?x64xf32>
  // CHECK-NEXT: gemma.relu %{{.+}} : tensor<?x64xf32>
  %12 = gemma.relu %11 : tensor<?x64xf32>
  // CHECK-NEXT: gemma.silu %{{.+}} : tensor<?x48xf32>
  %13 = gemma.silu %10 : tensor<?x48xf32>
  // CHECK-NEXT: gemma.glu %{{.+}} : tensor<?x48xf32> -> tensor<?x24xf32>
  %14 = gemma.glu %13 : tensor<?x48xf32> -> tensor<?x24xf32>
  // CHECK-NEXT: gemma.depthwise_conv %{{.+}}, @taps : tensor<?x48xf32>
  %15 = gemma.depthwise_conv %13, @taps : tensor<?x48xf32>
  // CHECK-NEXT: gemma.rel_attention %{{.+}}, %{{.+}}, %{{.+}} rel(@sq) scale(@hd) dim 16 window 12 cap 50.0 : tensor<?x48xf32>
  %16 = gemma.rel_attention %15, %15, %15 rel(@sq) scale(@hd) dim 16 window 12 cap 50.0 : tensor<?x48xf32>
  return
}

// CHECK-LABEL: func.func @vision
// EXPAND-LABEL: func.func @vision
func.func @vision(%h: tensor<?x48xf32>, %rope: tensor<?x8x2xf32>) -> tensor<?x48xf32> attributes {gemma.segment = "patches"} {
  // CHECK-NEXT: gemma.vision_attention_block %{{.+}}, %{{.+}} norm(@d) q(@sq) k(@sq) v(@sq) q_norm(@hd) k_norm(@hd) o(@sq) post(@d) bounds [@lo, @hi, @lo, @hi, @lo, @hi, @lo, @hi, @lo, @hi, @lo, @hi, @lo, @hi, @lo, @hi] dim 16 eps 1.0e-06
  // EXPAND-NEXT: %[[x:.+]] = gemma.rms_norm %[[h:.+]] weight @d size 48
  // EXPAND-NEXT: %[[q0:.+]] = gemma.clamp %[[x]] to(@lo, @hi)
  // EXPAND-NEXT: %[[q1:.+]] = gemma.linear %[[q0]], @sq
  // EXPAND-NEXT: %[[q2:.+]] = gemma.clamp %[[q1]] to(@lo, @hi)
  // EXPAND-NEXT: %[[q3:.+]] = gemma.rms_norm %[[q2]] weight @hd size 16
  // EXPAND-NEXT: %[[q:.+]] = gemma.rope2d %[[q3]]
  // EXPAND:      %[[k:.+]] = gemma.rope2d
  // EXPAND:      %[[v:.+]] = gemma.rms_norm %{{.+}} size 16
  // EXPAND-NEXT: %[[a:.+]] = gemma.self_attention %[[q]], %[[k]], %[[v]] dim 16
  // EXPAND:      %[[n:.+]] = gemma.rms_norm %{{.+}} weight @d size 48
  // EXPAND-NEXT: gemma.add %[[h]], %[[n]]
  %0 = gemma.vision_attention_block %h, %rope norm(@d) q(@sq) k(@sq) v(@sq) q_norm(@hd) k_norm(@hd) o(@sq) post(@d) bounds [@lo, @hi, @lo, @hi, @lo, @hi, @lo, @hi, @lo, @hi, @lo, @hi, @lo, @hi, @lo, @hi] dim 16 eps 1.0e-06 : tensor<?x48xf32>, tensor<?x8x2xf32>
  // CHECK-NEXT: gemma.ffn_block %{{.+}} pre(@d) gate(@wide) up(@wide) down(@back) post(@d) bounds [@lo, @hi, @lo, @hi, @lo, @hi, @lo, @hi, @lo, @hi, @lo, @hi] eps 1.0e-06
  // EXPAND:      gemma.geglu
  // EXPAND-NEXT: gemma.clamp
  %1 = gemma.ffn_block %0 pre(@d) gate(@wide) up(@wide) down(@back) post(@d) bounds [@lo, @hi, @lo, @hi, @lo, @hi, @lo, @hi, @lo, @hi, @lo, @hi] eps 1.0e-06 : tensor<?x48xf32>
  return %1 : tensor<?x48xf32>
}

// CHECK-LABEL: func.func @sound
// EXPAND-LABEL: func.func @sound
func.func @sound(%frames: tensor<?x8xf32>, %h: tensor<?x48xf32>) -> tensor<?x96xf32> attributes {gemma.segment = "audio"} {
  // CHECK-NEXT: gemma.subsample %{{.+}}, @kernel norm(@channels) bins 8 eps 1.0e-06 : tensor<?x8xf32> -> tensor<?x64xf32>
  // EXPAND-NEXT: %[[c:.+]] = gemma.conv2d %{{.+}}, @kernel bins 8
  // EXPAND-NEXT: %[[n:.+]] = gemma.layer_norm %[[c]] weight @channels size 16
  // EXPAND-NEXT: gemma.relu %[[n]]
  %0 = gemma.subsample %frames, @kernel norm(@channels) bins 8 eps 1.0e-06 : tensor<?x8xf32> -> tensor<?x64xf32>
  // CHECK-NEXT: gemma.conformer_ffn_block %{{.+}} pre(@d) up(@wide) down(@back) post(@d) factor 0.5 eps 1.0e-06
  // EXPAND:      gemma.silu
  // EXPAND:      gemma.scale %{{.+}} times 0.5
  %1 = gemma.conformer_ffn_block %h pre(@d) up(@wide) down(@back) post(@d) factor 0.5 eps 1.0e-06 : tensor<?x48xf32>
  // CHECK-NEXT: gemma.conformer_attention_block %{{.+}} pre(@d) q(@sq) k(@sq) v(@sq) rel(@sq) scale(@hd) o(@sq) post(@d) dim 16 window 12 cap 50.0 eps 1.0e-06
  // EXPAND:      gemma.rel_attention %{{.+}} rel(@sq) scale(@hd) dim 16 window 12 cap 50.0
  %2 = gemma.conformer_attention_block %1 pre(@d) q(@sq) k(@sq) v(@sq) rel(@sq) scale(@hd) o(@sq) post(@d) dim 16 window 12 cap 50.0 eps 1.0e-06 : tensor<?x48xf32>
  // CHECK-NEXT: gemma.conformer_conv_block %{{.+}} pre(@d) start(@wide) depthwise(@taps) norm(@d) end(@sq) eps 1.0e-06
  // EXPAND:      gemma.glu
  // EXPAND-NEXT: gemma.depthwise_conv
  %3 = gemma.conformer_conv_block %2 pre(@d) start(@wide) depthwise(@taps) norm(@d) end(@sq) eps 1.0e-06 : tensor<?x48xf32>
  // CHECK-NEXT: gemma.project %{{.+}}, @wide : tensor<?x48xf32> -> tensor<?x96xf32>
  %4 = gemma.project %3, @wide : tensor<?x48xf32> -> tensor<?x96xf32>
  // CHECK-NEXT: gemma.project %{{.+}}, @sq bias(@d) : tensor<?x48xf32> -> tensor<?x48xf32>
  // EXPAND:      gemma.linear %{{.+}}, @wide : tensor<?x48xf32> -> tensor<?x96xf32>
  // EXPAND-NEXT: %[[p:.+]] = gemma.linear %{{.+}}, @sq
  // EXPAND-NEXT: gemma.bias %[[p]], @d
  %5 = gemma.project %3, @sq bias(@d) : tensor<?x48xf32> -> tensor<?x48xf32>
  return %4 : tensor<?x96xf32>
}
