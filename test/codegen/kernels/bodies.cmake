# The plain C++ bodies (codegen/kernels/*.body.cpp): cases that know no test
# framework, run inside a unit test here and in a static program of the other
# architecture.
set(BODY_CASES append_cases.cpp attend_cases.cpp top_cases.cpp)
gemmac_library(gemmac_body_jit MLIR
  SOURCES body_jit.cpp
  LINK gemmac_codegen)
gemmac_unit_test(body_kernels_test EXCEPTIONS
  SOURCES body_test.cpp ${BODY_CASES}
  LINK gemmac_body_jit)
