// SPDX-License-Identifier: MIT
#include "inspect_model/inspect_models.hpp"

namespace inspect_model {

template void inspect_in<double>(const TensorTable&, const Options&);
template SecondModel second_in_file<double>(const TensorTable&, const std::string&, const Options&, Threads&);

}  // namespace inspect_model
