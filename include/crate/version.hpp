// SPDX-License-Identifier: MIT
#pragma once

// The one place where the version stands; CMake reads it from here.
#define CRATE_VERSION_MAJOR 0
#define CRATE_VERSION_MINOR 1
#define CRATE_VERSION_PATCH 0
