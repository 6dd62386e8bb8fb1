# What tests, examples and benchmarks share. None of it reaches those who use the library.

# Warnings and sanitizers, which the kernels are compiled with too.
add_library(crate_program_options INTERFACE)
target_compile_options(crate_program_options INTERFACE -Wall -Wextra -Wpedantic -Wconversion)
if(CRATE_SANITIZE)
  string(REPLACE ";" "," sanitizers "${CRATE_SANITIZE}")
  set(sanitizer_flags -fsanitize=${sanitizers} -fno-sanitize-recover=all -fno-omit-frame-pointer)
  target_compile_options(crate_program_options INTERFACE ${sanitizer_flags})
  target_link_options(crate_program_options INTERFACE ${sanitizer_flags})
endif()
target_link_libraries(crate_compiled_kernels PRIVATE crate_program_options)

add_library(crate_program INTERFACE)
target_link_libraries(crate_program INTERFACE crate_program_options crate::compiled_kernels)

# The packages that tests, benchmarks and examples need beyond those of crate::io.
set(crate_package_Catch2 Catch2::Catch2 catch2)
set(crate_package_benchmark benchmark::benchmark libbenchmark-dev)
set(crate_package_CLI11 CLI11::CLI11 libcli11-dev)
