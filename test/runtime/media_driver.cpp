// What runtime/media decodes, for machines that no test runs on: media_driver
// picture|sound FILE writes RGB bytes or mono f32 to its standard output.
#include "runtime/media/decode_picture.h"
#include "runtime/media/decode_sound.h"

#include <cstdio>
#include <cstring>
#include <fstream>
#include <iterator>

using namespace gm;
using namespace gm::media;

int main(int argc, char **argv) {
  if (argc != 3)
    return USAGE;
  std::ifstream in(argv[2], std::ios::binary);
  const std::vector<char> all((std::istreambuf_iterator<char>(in)), {});
  const Bytes bytes(reinterpret_cast<const uint8_t *>(all.data()), all.size());
  Picture picture;
  PictureRemarks remarks;
  std::vector<float> mono;
  SoundFacts facts;
  const Status s = strcmp(argv[1], "picture") == 0
                       ? decode_picture(bytes, {}, picture, remarks)
                       : decode_sound(bytes, {}, mono, facts);
  if (!s.ok())
    fprintf(stderr, "%s\n", s.text);
  fwrite(picture.rgb.data(), 1, picture.rgb.size(), stdout);
  fwrite(mono.data(), sizeof(float), mono.size(), stdout);
  return s.code;
}
