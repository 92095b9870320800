// See kinds.h.
#include "runtime/media/kinds.h"

#include <cctype>
#include <cstring>
#include <string_view>

namespace gm::media {
namespace {

using std::string_view;
using namespace std::string_view_literals;

struct Magic {
  string_view begin;
  size_t then_at; // where `then` stands
  string_view then;
  KindName kind;
};

constexpr Magic kMagics[] = {
    {"\x89PNG\r\n\x1a\n"sv, 0, "", {Kind::Png, "a PNG picture"}},
    {"\xff\xd8\xff"sv, 0, "", {Kind::Jpeg, "a JPEG picture"}},
    {"RIFF", 8, "WEBP", {Kind::Webp, "a WebP picture"}},
    {"GIF87a", 0, "", {Kind::Gif, "a GIF picture"}},
    {"GIF89a", 0, "", {Kind::Gif, "a GIF picture"}},
    {"RIFF", 8, "WAVE", {Kind::Wav, "a WAV sound"}},
    {"RF64", 8, "WAVE", {Kind::Wav, "a WAV sound"}},
    {"BW64", 8, "WAVE", {Kind::Wav, "a WAV sound"}},
    {"fLaC", 0, "", {Kind::Flac, "a FLAC sound"}},

    {"BM", 6, "\0\0\0\0"sv, {Kind::OtherPicture, "a BMP picture"}},
    {"II*\0"sv, 0, "", {Kind::OtherPicture, "a TIFF picture"}},
    {"MM\0*"sv, 0, "", {Kind::OtherPicture, "a TIFF picture"}},
    {"II+\0"sv, 0, "", {Kind::OtherPicture, "a BigTIFF picture"}},
    {"MM\0+"sv, 0, "", {Kind::OtherPicture, "a BigTIFF picture"}},
    {"", 4, "ftypavi", {Kind::OtherPicture, "an AVIF picture"}},
    {"", 4, "ftyphei", {Kind::OtherPicture, "a HEIC picture"}},
    {"", 4, "ftyphev", {Kind::OtherPicture, "a HEIC picture"}},
    {"", 4, "ftypmif1", {Kind::OtherPicture, "a HEIF picture"}},
    {"", 4, "ftypmsf1", {Kind::OtherPicture, "a HEIF picture"}},
    {"\0\0\0\x0cjP  "sv, 0, "", {Kind::OtherPicture, "a JPEG 2000 picture"}},
    {"\xff\x4f\xff\x51"sv, 0, "", {Kind::OtherPicture, "a JPEG 2000 picture"}},
    {"\0\0\0\x0cJXL "sv, 0, "", {Kind::OtherPicture, "a JPEG XL picture"}},
    {"\xff\x0a"sv, 0, "", {Kind::OtherPicture, "a JPEG XL picture"}},
    {"8BPS", 0, "", {Kind::OtherPicture, "a Photoshop picture"}},
    {"\0\0\1\0"sv, 0, "", {Kind::OtherPicture, "an icon"}},
    {"qoif", 0, "", {Kind::OtherPicture, "a QOI picture"}},
    {"DDS ", 0, "", {Kind::OtherPicture, "a DDS picture"}},
    {"\x76\x2f\x31\x01"sv, 0, "", {Kind::OtherPicture, "an OpenEXR picture"}},
    {"<svg", 0, "", {Kind::OtherPicture, "an SVG drawing"}},
    {"\x8aMNG\r\n\x1a\n"sv, 0, "", {Kind::OtherPicture, "an MNG picture"}},
    {"%!PS", 0, "", {Kind::OtherPicture, "a PostScript document"}},
    {"%PDF", 0, "", {Kind::OtherPicture, "a PDF document"}},

    {"RIFX", 8, "WAVE", {Kind::OtherSound, "a big-endian WAV sound"}},
    {"riff", 0, "", {Kind::OtherSound, "a Wave64 sound"}},
    {"FORM", 8, "AIF", {Kind::OtherSound, "an AIFF sound"}},
    {".snd", 0, "", {Kind::OtherSound, "an AU sound"}},
    {"caff", 0, "", {Kind::OtherSound, "a CAF sound"}},
    {"#!AMR", 0, "", {Kind::OtherSound, "an AMR sound"}},
    {"wvpk", 0, "", {Kind::OtherSound, "a WavPack sound"}},
    {"MAC ", 0, "", {Kind::OtherSound, "a Monkey's Audio sound"}},
    {"MThd", 0, "", {Kind::OtherSound, "a MIDI file"}},
    {"", 4, "ftypM4A", {Kind::OtherSound, "an M4A sound"}},
    {"", 4, "ftypM4B", {Kind::OtherSound, "an M4A sound"}},

    {"", 4, "ftyp", {Kind::Film, "an MP4 film"}},
    {"", 4, "moov", {Kind::Film, "a QuickTime film"}},
    {"\x1a\x45\xdf\xa3"sv, 0, "", {Kind::Film, "a Matroska or WebM film"}},
    {"RIFF", 8, "AVI ", {Kind::Film, "an AVI film"}},
    {"\x30\x26\xb2\x75"sv, 0, "", {Kind::Film, "a Windows Media file"}},
    {"\0\0\1\xba"sv, 0, "", {Kind::Film, "an MPEG film"}},
    {"YUV4MPEG2", 0, "", {Kind::Film, "a Y4M film"}},
    {"FLV\1", 0, "", {Kind::Film, "an FLV film"}},

    {"PK\3\4", 0, "", {Kind::Other, "a ZIP archive"}},
    {"\x1f\x8b"sv, 0, "", {Kind::Other, "a gzip archive"}},
    {"\x7f"
     "ELF",
     0,
     "",
     {Kind::Other, "a program"}},
    {"version https://git-lfs",
     0,
     "",
     {Kind::Other, "a Git LFS pointer and not the file itself"}},
};

// What an Ogg stream begins with; its first packet.
constexpr Magic kOggs[] = {
    {"\x01vorbis", 0, "", {Kind::Vorbis, "an Ogg Vorbis sound"}},
    {"\x7f"
     "FLAC",
     0,
     "",
     {Kind::Flac, "an Ogg FLAC sound"}},
    {"OpusHead", 0, "", {Kind::OtherSound, "an Opus sound"}},
    {"Speex   ", 0, "", {Kind::OtherSound, "a Speex sound"}},
    {"\x80theora", 0, "", {Kind::Film, "an Ogg Theora film"}},
};

bool matches(string_view text, const Magic &magic) {
  return text.starts_with(magic.begin) && text.size() >= magic.then_at &&
         text.substr(magic.then_at).starts_with(magic.then);
}

template <size_t N>
KindName find(string_view text, const Magic (&magics)[N]) {
  for (const Magic &magic : magics)
    if (matches(text, magic))
      return magic.kind;
  return {};
}

// Behind an ID3 block, which stands before sounds of several kinds.
string_view behind_id3(string_view text) {
  while (text.size() > 10 && text.starts_with("ID3")) {
    size_t size = 0;
    for (size_t i = 6; i < 10; ++i)
      size = size << 7 | (uint8_t(text[i]) & 0x7F);
    size += (text[5] & 0x10) ? 20 : 10;
    text.remove_prefix(std::min(size, text.size()));
  }
  return text;
}

// Text is read by people, pages of errors most of all.
KindName kind_of_text(string_view text) {
  text.remove_prefix(text.starts_with("\xef\xbb\xbf") ? 3 : 0);
  while (!text.empty() && isspace(uint8_t(text[0])))
    text.remove_prefix(1);
  if (text.starts_with("<svg") ||
      (text.starts_with("<?xml") && text.find("<svg") < 4096))
    return {Kind::OtherPicture, "an SVG drawing"};
  if (text.starts_with("<!") || text.starts_with("<html"))
    return {Kind::Other, "a web page"};
  return {};
}

} // namespace

KindName kind_of(Bytes bytes) {
  const string_view text(reinterpret_cast<const char *>(bytes.data()),
                         bytes.size());
  if (KindName found = find(text, kMagics); found.kind != Kind::Unknown)
    return found;
  if (text.starts_with("OggS") && text.size() > 27) {
    const size_t at = 27 + uint8_t(text[26]);
    if (at < text.size())
      if (KindName found = find(text.substr(at), kOggs);
          found.kind != Kind::Unknown)
        return found;
    return {Kind::OtherSound, "an Ogg stream of an unknown kind"};
  }
  if (text.size() > 2 && text[0] == 'P' && text[1] >= '1' && text[1] <= '7' &&
      isspace(uint8_t(text[2])))
    return {Kind::OtherPicture, "a PNM picture"};

  // A frame of MPEG audio: 11 bits of one, then version, layer, bit rate and
  // sample rate, none of them reserved.
  const string_view frame = behind_id3(text);
  if (frame.starts_with("fLaC"))
    return {Kind::Flac, "a FLAC sound"};
  if (frame.size() >= 4 && uint8_t(frame[0]) == 0xFF &&
      (frame[1] & 0xE0) == 0xE0) {
    const int version = frame[1] >> 3 & 3, layer = frame[1] >> 1 & 3;
    const int bits = uint8_t(frame[2]) >> 4, rate = frame[2] >> 2 & 3;
    if (layer == 0 && (frame[1] & 0xF0) == 0xF0)
      return {Kind::OtherSound, "an AAC sound"};
    if (version != 1 && layer != 0 && bits != 15 && rate != 3)
      return layer == 1 ? KindName{Kind::Mp3, "an MP3 sound"}
                        : KindName{Kind::OtherSound, "an MPEG sound of layer "
                                                     "1 or 2"};
  }
  if (text.starts_with("ID3"))
    return {Kind::Mp3, "an MP3 sound"};
  return kind_of_text(text);
}

Status refused_kind(const KindName &kind, const char *expected) {
  const bool picture = expected[0] == 'p';
  const char *instead =
      picture ? "PNG, JPEG, WebP or GIF" : "WAV, FLAC, MP3 or Ogg Vorbis";
  switch (kind.kind) {
  case Kind::Unknown:
    return failure(BAD_INPUT, "no %s of a known kind: expects %s", expected,
                   instead);
  case Kind::OtherPicture:
  case Kind::OtherSound:
    if ((kind.kind == Kind::OtherPicture) == picture)
      return failure(UNSUPPORTED,
                     "%s, which is not decoded: expects %s, convert it (for "
                     "example: %s)",
                     kind.name, instead,
                     picture ? "magick FILE out.png"
                             : "ffmpeg -i FILE out.wav");
    break;
  case Kind::Film:
    return failure(UNSUPPORTED, "%s, expects a %s: %s", kind.name, expected,
                   picture ? "take a picture out of it (for example: ffmpeg -i "
                             "FILE -frames:v 1 out.png)"
                           : "take the sound out of it (for example: ffmpeg -i "
                             "FILE out.wav)");
  default:
    break;
  }
  return failure(BAD_INPUT, "%s, expects a %s (%s)", kind.name, expected,
                 instead);
}

} // namespace gm::media
