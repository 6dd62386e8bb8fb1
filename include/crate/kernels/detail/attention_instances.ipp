// SPDX-License-Identifier: MIT
// What kernels/compiled.cpp compiles of attention.hpp.

CRATE_INSTANCE void crate::detail::attend_heads(InstructionSet, const AttentionHeads<float>&, bool, Columns<float>,
                                                Workspace&, Threads&);
CRATE_INSTANCE void crate::detail::attend_heads(InstructionSet, const AttentionHeads<float>&, bool, Columns<bfloat16>,
                                                Workspace&, Threads&);
CRATE_INSTANCE void crate::detail::attend_heads(InstructionSet, const AttentionHeads<double>&, bool, Columns<double>,
                                                Workspace&, Threads&);
CRATE_INSTANCE void crate::detail::attend_heads_recorded(InstructionSet, const AttentionHeads<float>&,
                                                         const AttentionDropout&, SoftmaxTerms<float>, Columns<float>,
                                                         Workspace&, Threads&);
CRATE_INSTANCE void crate::detail::attend_heads_recorded(InstructionSet, const AttentionHeads<double>&,
                                                         const AttentionDropout&, SoftmaxTerms<double>, Columns<double>,
                                                         Workspace&, Threads&);
CRATE_INSTANCE void crate::detail::attend_heads_adjoint(InstructionSet, const AttentionHeads<float>&,
                                                        const AttentionDropout&, SoftmaxTerms<const float>,
                                                        Columns<const float>, Columns<const float>, Columns<float>,
                                                        Workspace&, Threads&);
CRATE_INSTANCE void crate::detail::attend_heads_adjoint(InstructionSet, const AttentionHeads<double>&,
                                                        const AttentionDropout&, SoftmaxTerms<const double>,
                                                        Columns<const double>, Columns<const double>, Columns<double>,
                                                        Workspace&, Threads&);
CRATE_INSTANCE void crate::detail::attend_heads_adjoint(InstructionSet, const AttentionHeads<float>&,
                                                        const AttentionDropout&, SoftmaxTerms<const float>,
                                                        Columns<const float>, Columns<const float>,
                                                        const AttentionCotangents<float>&, Workspace&, Threads&);
CRATE_INSTANCE void crate::detail::attend_heads_adjoint(InstructionSet, const AttentionHeads<double>&,
                                                        const AttentionDropout&, SoftmaxTerms<const double>,
                                                        Columns<const double>, Columns<const double>,
                                                        const AttentionCotangents<double>&, Workspace&, Threads&);
