// SPDX-License-Identifier: MIT
// What kernels/compiled.cpp compiles of product.hpp.

CRATE_INSTANCE void crate::detail::multiply(Entries, MatrixView<const float>, MatrixView<const float>,
                                            MatrixView<float>, ProductEpilogue<float>, Threads&);
CRATE_INSTANCE void crate::detail::multiply(Entries, MatrixView<const double>, MatrixView<const double>,
                                            MatrixView<double>, ProductEpilogue<double>, Threads&);
CRATE_INSTANCE void crate::detail::gram(MatrixView<const float>, MatrixView<float>, ProductEpilogue<float>, Threads&);
CRATE_INSTANCE void crate::detail::gram(MatrixView<const double>, MatrixView<double>, ProductEpilogue<double>,
                                        Threads&);
