# Provides Eigen3::Eigen.
#
# Eigen is asked for without a version and checked afterwards: Eigen 5 refuses to be found as "3.4", and Eigen 3.4.0
# refuses ranges that reach to 5.
if(NOT TARGET Eigen3::Eigen)
  find_package(Eigen3 CONFIG QUIET)
  if(Eigen3_FOUND AND (Eigen3_VERSION VERSION_LESS 3.4 OR Eigen3_VERSION VERSION_GREATER_EQUAL 6))
    message(FATAL_ERROR
      "crate needs Eigen 3.4 or later, before 6; found ${Eigen3_VERSION} in ${Eigen3_DIR}. "
      "Set Eigen3_ROOT to the prefix of another.")
  endif()
endif()

if(NOT TARGET Eigen3::Eigen)
  message(STATUS "Eigen was not found (Debian: libeigen3-dev); fetching version 3.4.0")
  include(FetchContent)
  FetchContent_Declare(eigen
    URL https://gitlab.com/libeigen/eigen/-/archive/3.4.0/eigen-3.4.0.tar.gz
    URL_HASH SHA256=8586084f71f9bde545ee7fa6d00288b264a2b7ac3607b974e54d13e7162c1c72
    SOURCE_SUBDIR headers-only)  # no such folder: Eigen's own targets and tests stay out
  FetchContent_MakeAvailable(eigen)
  add_library(Eigen3::Eigen INTERFACE IMPORTED GLOBAL)
  target_include_directories(Eigen3::Eigen INTERFACE ${eigen_SOURCE_DIR})
endif()
