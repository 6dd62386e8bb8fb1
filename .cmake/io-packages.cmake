# The packages beyond Eigen that headers in include/crate/io and text need: for each, the target to link and the Debian package that
# holds it. Installed with the library, since who uses crate::io needs them too.
set(crate_package_nlohmann_json nlohmann_json::nlohmann_json nlohmann-json3-dev)
set(crate_package_PNG PNG::PNG libpng-dev)
set(crate_package_JPEG JPEG::JPEG libjpeg-dev)
set(crate_package_ZLIB ZLIB::ZLIB zlib1g-dev)
set(crate_package_utf8proc utf8proc::utf8proc libutf8proc-dev)
set(crate_io_packages nlohmann_json PNG JPEG ZLIB utf8proc)
set(crate_find_modules "${CMAKE_CURRENT_LIST_DIR}")  # for those of them that come without a CMake package

# Looks for packages, unless their targets are already there. Sets ${targets} to what is to be linked and ${missing} to the
# Debian packages that were not found.
macro(crate_find_packages targets missing)
  set(${targets})
  set(${missing})
  foreach(crate_package ${ARGN})
    list(GET crate_package_${crate_package} 0 crate_target)
    list(GET crate_package_${crate_package} 1 crate_debian_package)
    if(NOT TARGET ${crate_target})
      list(PREPEND CMAKE_MODULE_PATH "${crate_find_modules}")
      find_package(${crate_package} QUIET)
      list(POP_FRONT CMAKE_MODULE_PATH)
    endif()
    if(TARGET ${crate_target})
      list(APPEND ${targets} ${crate_target})
    else()
      list(APPEND ${missing} ${crate_debian_package})
    endif()
  endforeach()
  list(JOIN ${missing} " " ${missing})
endmacro()
