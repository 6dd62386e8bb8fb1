# What tests, examples and benchmarks share. None of it reaches those who use the library.

# Warnings and sanitizers.
add_library(crate_program INTERFACE)
target_link_libraries(crate_program INTERFACE crate::crate)
target_compile_options(crate_program INTERFACE -Wall -Wextra -Wpedantic -Wconversion)
if(CRATE_SANITIZE)
  string(REPLACE ";" "," sanitizers "${CRATE_SANITIZE}")
  set(sanitizer_flags -fsanitize=${sanitizers} -fno-sanitize-recover=all -fno-omit-frame-pointer)
  target_compile_options(crate_program INTERFACE ${sanitizer_flags})
  target_link_options(crate_program INTERFACE ${sanitizer_flags})
endif()

# Flags for the processor at hand, in crate_native_flags. g++ 12 holds back the 512-bit registers under plain
# -march=native; tuned for skylake-avx512, Eigen's float product is a third faster.
set(crate_native_flags)
if(CRATE_NATIVE)
  include(CheckCXXCompilerFlag)
  check_cxx_compiler_flag(-march=native CRATE_HAS_MARCH_NATIVE)
  if(CRATE_HAS_MARCH_NATIVE)
    list(APPEND crate_native_flags -march=native)
  endif()
  if(CRATE_HAS_MARCH_NATIVE AND CMAKE_CXX_COMPILER_ID STREQUAL GNU)
    include(CheckCXXSourceCompiles)
    include(CMakePushCheckState)
    cmake_push_check_state()
    string(APPEND CMAKE_REQUIRED_FLAGS " -march=native")
    check_cxx_source_compiles("
      #ifndef __AVX512F__
      #error
      #endif
      int main() {}" CRATE_HAS_AVX512)
    cmake_pop_check_state()
    if(CRATE_HAS_AVX512)
      list(APPEND crate_native_flags -mtune=skylake-avx512)
    endif()
  endif()
endif()
add_library(crate_native_program INTERFACE)
target_link_libraries(crate_native_program INTERFACE crate_program)
target_compile_options(crate_native_program INTERFACE ${crate_native_flags})
if(CRATE_HAS_AVX512 AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
  # g++ 12 finds fault with its own AVX-512 intrinsics (GCC bug 105593).
  target_compile_options(crate_native_program INTERFACE -Wno-maybe-uninitialized -Wno-uninitialized)
endif()

# The packages that tests, benchmarks and examples need beyond those of crate::io.
set(crate_package_Catch2 Catch2::Catch2 catch2)
set(crate_package_benchmark benchmark::benchmark libbenchmark-dev)
set(crate_package_CLI11 CLI11::CLI11 libcli11-dev)
