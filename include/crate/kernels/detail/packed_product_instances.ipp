// SPDX-License-Identifier: MIT
// What kernels/compiled.cpp compiles of packed_product.hpp: weights by tokens, with an addend and an output kept so.

CRATE_INSTANCE void crate::detail::multiply_packed(const PackedWeights<float>&, Columns<const float>, Index,
                                                   const Epilogue<float, float>&, Columns<float>, Workspace&, Threads&);
CRATE_INSTANCE void crate::detail::multiply_packed(const PackedWeights<double>&, Columns<const double>, Index,
                                                   const Epilogue<double, double>&, Columns<double>, Workspace&,
                                                   Threads&);
CRATE_INSTANCE void crate::detail::multiply_packed(const PackedWeights<bfloat16>&, Columns<const float>, Index,
                                                   const Epilogue<float, float>&, Columns<float>, Workspace&, Threads&);
CRATE_INSTANCE void crate::detail::multiply_packed(const PackedWeights<bfloat16>&, Columns<const float>, Index,
                                                   const Epilogue<float, float>&, Columns<bfloat16>, Workspace&,
                                                   Threads&);
CRATE_INSTANCE void crate::detail::multiply_packed(const PackedWeights<bfloat16>&, Columns<const float>, Index,
                                                   const Epilogue<float, bfloat16>&, Columns<bfloat16>, Workspace&,
                                                   Threads&);
CRATE_INSTANCE void crate::detail::multiply_packed(const PackedWeights<bfloat16>&, Columns<const bfloat16>, Index,
                                                   const Epilogue<float, float>&, Columns<float>, Workspace&, Threads&);
CRATE_INSTANCE void crate::detail::multiply_packed(const PackedWeights<bfloat16>&, Columns<const bfloat16>, Index,
                                                   const Epilogue<float, float>&, Columns<bfloat16>, Workspace&,
                                                   Threads&);
CRATE_INSTANCE void crate::detail::multiply_packed(const PackedWeights<bfloat16>&, Columns<const bfloat16>, Index,
                                                   const Epilogue<float, bfloat16>&, Columns<bfloat16>, Workspace&,
                                                   Threads&);
