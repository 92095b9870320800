// What a user names as a picture or a sound becomes its bytes.
#include "runtime/app/media_source.h"

#include "runtime/gemma.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <sys/stat.h>
#include <thread>
#include <unistd.h>

using namespace gm;
using namespace std::string_literals;

namespace {

const std::string kGif = "GIF89a\4\0\4\0"s;

class Sources : public testing::Test {
protected:
  void SetUp() override {
    char name[] = "/tmp/media_source_XXXXXX";
    folder = mkdtemp(name);
    std::ofstream(folder + "/a b#1.gif", std::ios::binary) << kGif;
    std::ofstream(folder + "/empty");
  }
  void TearDown() override { std::filesystem::remove_all(folder); }

  // The bytes of what is named; those of a failure are "<code> <text>".
  std::string read(const std::string &named, size_t most = 1000) {
    MediaSource source;
    const Status s = read_media(named, source, most);
    name = source.name;
    return s.ok() ? source.bytes : std::to_string(s.code) + " " + s.text;
  }
  std::string folder, name;
};

} // namespace

TEST_F(Sources, Files) {
  EXPECT_EQ(read(folder + "/a b#1.gif"), kGif);
  EXPECT_EQ(name, "'" + folder + "/a b#1.gif'");
  EXPECT_EQ(read("file://" + folder + "/a%20b%231.gif"), kGif);
  EXPECT_EQ(read("file:" + folder + "/a b%231.gif?x#y"), kGif);
  EXPECT_EQ(read("FILE://LocalHost" + folder + "/a%20b%231.gif"), kGif);
  EXPECT_EQ(read(folder + "/none.gif"),
            "3 cannot read '" + folder +
                "/none.gif': No such file or directory");
  EXPECT_EQ(read(folder), "3 cannot read '" + folder + "': Is a directory");
  EXPECT_EQ(read(folder + "/empty"), "3 '" + folder + "/empty' is empty");
  EXPECT_EQ(read(folder + "/a b#1.gif", kGif.size()), kGif);
  EXPECT_EQ(read(folder + "/a b#1.gif", kGif.size() - 1).substr(0, 2), "3 ");
  EXPECT_EQ(read(""), "2 expects a file, got an empty name");
  EXPECT_EQ(read(std::string(5000, 'x')).substr(0, 2), "3 ");
}

TEST_F(Sources, Pipes) {
  const std::string pipe = folder + "/pipe";
  ASSERT_EQ(mkfifo(pipe.c_str(), 0600), 0);
  std::thread writer(
      [&] { std::ofstream(pipe, std::ios::binary) << kGif << std::flush; });
  EXPECT_EQ(read(pipe), kGif);
  writer.join();
}

TEST_F(Sources, StandardInput) {
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  ASSERT_EQ(write(ends[1], kGif.data(), kGif.size()), ssize_t(kGif.size()));
  close(ends[1]);
  const int before = dup(0);
  dup2(ends[0], 0);
  EXPECT_EQ(read("-"), kGif);
  EXPECT_EQ(read("-"), "3 the standard input is empty");
  EXPECT_EQ(name, "the standard input");
  dup2(before, 0);
  close(before);
  close(ends[0]);
}

TEST_F(Sources, FileUrlsThatAreNone) {
  EXPECT_EQ(read("file://elsewhere/a.gif"),
            "4 'file://elsewhere/a.gif' is a file of another machine: expects "
            "file:///PATH");
  EXPECT_EQ(read("file:a.gif"),
            "2 'file:a.gif' has no whole path: expects file:///PATH");
  EXPECT_EQ(read("file:///a%2").substr(0, 16), "2 'file:///a%2' ");
  EXPECT_EQ(read("file:///a%00b").substr(0, 2), "2 ");
}

TEST_F(Sources, DataUrls) {
  EXPECT_EQ(read("data:image/png;base64,R0lGODlhBAAEAA=="), kGif);
  EXPECT_EQ(name, "the data: URL");
  EXPECT_EQ(read("data:;BASE64,R0lG ODlh\nBAAEAA"), kGif);
  EXPECT_EQ(read("data:audio/wav;x=y;base64,R0lGODlhBAAEAA%3D%3D"), kGif);
  EXPECT_EQ(read("data:image/gif,GIF89a%04%00%04%00"), kGif);
  EXPECT_EQ(read("data:;base64,-_-_"), "\xfb\xff\xbf");
  EXPECT_EQ(read("data:image/gif;base64").substr(0, 27),
            "2 a data: URL without a com");
  EXPECT_EQ(read("data:;base64,R0lG*"),
            "2 a data: URL that is no base64 at byte 4 of its data");
  EXPECT_EQ(read("data:;base64,R0lG=x").substr(0, 4), "2 a ");
  EXPECT_EQ(read("data:;base64,R0lGR").substr(0, 4), "2 a ");
  EXPECT_EQ(read("data:,a%4"),
            "2 a data: URL whose % at offset 7 has no two digits behind it");
  EXPECT_EQ(read("data:,"), "3 the data: URL is empty");
  EXPECT_EQ(read("data:,aaaa", 3),
            "3 the data: URL has more than 3 bytes, the most that is read");
}

TEST_F(Sources, Base64) {
  EXPECT_EQ(read("R0lGODlhBAAEAA=="), kGif);
  EXPECT_EQ(name, "the base64 text");
  // A file of that name comes first.
  const std::string here = std::filesystem::current_path();
  std::filesystem::current_path(folder);
  std::ofstream("R0lGODlhBAAEAA==") << "file";
  EXPECT_EQ(read("R0lGODlhBAAEAA=="), "file");
  std::filesystem::current_path(here);
  // Base64 of what is neither picture nor sound is a wrong path.
  EXPECT_EQ(read("cats").substr(0, 20), "3 cannot read 'cats'");
}

TEST_F(Sources, NothingIsFetched) {
  EXPECT_EQ(read("https://example.org/cat.png"),
            "4 'https://example.org/cat.png' is on a network, and programs "
            "fetch nothing: download it and give its path (for example: curl "
            "-LO URL)");
  EXPECT_EQ(read("s3://bucket/cat.png").substr(0, 2), "4 ");
}
