# Installs the headers, the CMake package and the pkg-config file. All of it may be moved as a whole afterwards.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

set(crate_package_dir ${CMAKE_INSTALL_DATADIR}/cmake/crate)
set(crate_pkgconfig_dir ${CMAKE_INSTALL_DATADIR}/pkgconfig)

install(DIRECTORY include/crate DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}
  FILES_MATCHING PATTERN "*.hpp" PATTERN "*.ipp" PATTERN "*.cpp")
install(FILES LICENSE DESTINATION ${CMAKE_INSTALL_DOCDIR})

install(TARGETS crate EXPORT crate-targets INCLUDES DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(EXPORT crate-targets NAMESPACE crate:: DESTINATION ${crate_package_dir})
configure_package_config_file(.cmake/crate-config.cmake.in crate-config.cmake INSTALL_DESTINATION ${crate_package_dir})
write_basic_package_version_file(crate-config-version.cmake COMPATIBILITY SameMinorVersion ARCH_INDEPENDENT)
install(FILES ${PROJECT_BINARY_DIR}/crate-config.cmake ${PROJECT_BINARY_DIR}/crate-config-version.cmake
  .cmake/io-packages.cmake .cmake/Findutf8proc.cmake DESTINATION ${crate_package_dir})

file(RELATIVE_PATH crate_pkgconfig_to_include
  ${CMAKE_INSTALL_PREFIX}/${crate_pkgconfig_dir} ${CMAKE_INSTALL_FULL_INCLUDEDIR})
configure_file(.cmake/crate.pc.in crate.pc @ONLY)
configure_file(.cmake/crate-io.pc.in crate-io.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/crate.pc ${PROJECT_BINARY_DIR}/crate-io.pc DESTINATION ${crate_pkgconfig_dir})
