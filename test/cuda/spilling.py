#!/usr/bin/env python3
"""Prints PTX of a kernel that needs more registers than it is given."""
N = 100
print(".version 7.4\n.target sm_80\n.address_size 64\n")
print("\t// .globl\tspills\n.visible .entry spills(\n\t.param .u64 spills_param_0\n)\n.maxntid 1024\n.minnctapersm 2\n{")
print("\t.reg .b32 %%r<%d>;\n\t.reg .b64 %%rd<2>;" % (N + 1))
print("\tld.param.u64 %rd1, [spills_param_0];")
for i in range(N):
    print("\tld.volatile.global.u32 %%r%d, [%%rd1+%d];" % (i, 4 * i))
for i in reversed(range(N)):
    print("\tst.volatile.global.u32 [%%rd1+%d], %%r%d;" % (4 * i + 4 * N, i))
print("\tret;\n}")
