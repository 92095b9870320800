// Ogg Vorbis by libvorbisfile, from its first byte to its last.
#include "runtime/media/decode_sounds.h"

#include <algorithm>
#include <cstring>
#include <vorbis/vorbisfile.h>

namespace gm::media {
namespace {

size_t read(void *to, size_t size, size_t count, void *source) {
  Bytes &left = *static_cast<Bytes *>(source);
  const size_t most = std::min(size * count, left.size());
  if (most)
    memcpy(to, left.data(), most);
  left = left.subspan(most);
  return size ? most / size : 0;
}

struct Reader {
  OggVorbis_File file = {};
  bool open = false;
  ~Reader() {
    if (open)
      ov_clear(&file);
  }
};

// libvorbisfile passes over damaged pages in silence, so pages are looked at
// first. Behind the last of a stream may be anything that is no page.
Status check_pages(Bytes bytes) {
  constexpr size_t kPiece = 1 << 16;
  ogg_sync_state sync;
  ogg_sync_init(&sync);
  size_t given = 0, at = 0;
  bool ended = false, damaged = false;
  int last_stream = 0;
  long last_number = 0;
  for (ogg_page page; !damaged;) {
    const long size = ogg_sync_pageseek(&sync, &page);
    if (size > 0) {
      const int stream = ogg_page_serialno(&page);
      const long number = ogg_page_pageno(&page);
      damaged = at && !ogg_page_bos(&page) && stream == last_stream &&
                number != last_number + 1;
      if (damaged)
        break;
      last_stream = stream;
      last_number = number;
      ended = ogg_page_eos(&page);
      at += size_t(size);
    } else if (size < 0) {
      damaged = true;
    } else {
      const size_t count = std::min(kPiece, bytes.size() - given);
      char *to = count ? ogg_sync_buffer(&sync, long(count)) : nullptr;
      if (!to)
        break;
      memcpy(to, bytes.data() + given, count);
      ogg_sync_wrote(&sync, long(count));
      given += count;
    }
  }
  ogg_sync_clear(&sync);
  const Bytes rest = bytes.subspan(at);
  if (rest.empty() ||
      (ended && (rest.size() < 4 || memcmp(rest.data(), "OggS", 4) != 0)))
    return {};
  return failure(BAD_INPUT, "a Vorbis sound that is %s: its page at byte %zu",
                 damaged ? "damaged" : "cut", at);
}

} // namespace

Status decode_vorbis(Bytes bytes, SoundSink &sink) {
  if (Status s = check_pages(bytes); !s.ok())
    return s;
  Reader reader;
  // Without a way to seek: the file is read once, in its order.
  const ov_callbacks calls = {read, nullptr, nullptr, nullptr};
  const int rc = ov_open_callbacks(&bytes, &reader.file, nullptr, 0, calls);
  if (rc != 0)
    return failure(rc == OV_EVERSION ? UNSUPPORTED : BAD_INPUT,
                   "a Vorbis sound that is broken or cut");
  reader.open = true;
  bool begun = false;
  for (;;) {
    float **planes = nullptr;
    int section = 0;
    const long count = ov_read_float(&reader.file, &planes, 4096, &section);
    if (count == 0)
      break;
    // Said where one stream follows another, although nothing is missing.
    if (count == OV_HOLE)
      continue;
    if (count < 0)
      return failure(BAD_INPUT,
                     "a Vorbis sound that is broken after %lld samples",
                     (long long)sink.facts.samples);
    const vorbis_info *info = ov_info(&reader.file, -1);
    if (!begun) {
      if (Status s = sink.begin(info->rate, info->channels); !s.ok())
        return s;
    } else if (info->rate != sink.facts.rate ||
               info->channels != sink.facts.channels) {
      return failure(UNSUPPORTED,
                     "a Vorbis sound that changes its rate or channels after "
                     "%lld samples: convert it to WAV",
                     (long long)sink.facts.samples);
    }
    begun = true;
    if (Status s = sink.add(planes, count); !s.ok())
      return s;
  }
  return {};
}

} // namespace gm::media
