// SPDX-License-Identifier: MIT
#include <crate/io/formats/safetensors.hpp>
#include <crate/io/pictures/idx.hpp>
#include <crate/io/pictures/image.hpp>
#include <crate/text/read_tokeniser.hpp>
#include <cstdio>

// One reader for each of zlib, libpng with libjpeg, nlohmann/json, and utf8proc.
int main() {
  int refused = 0;
  const auto refuses = [&](const auto& read) {
    try {
      (void)read();
    } catch (const crate::FileError& error) {
      std::printf("%s\n", error.what());
      ++refused;
    }
  };
  refuses([] { return crate::read_idx_folder("nowhere"); });
  refuses([] { return crate::read_image("nowhere.png"); });
  refuses([] { return crate::read_safetensors("nowhere.safetensors"); });
  refuses([] { return crate::read_tokeniser("nowhere", crate::TokeniserKind::bert); });
  return refused == 4 ? 0 : 1;
}
