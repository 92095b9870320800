// Programs of every kind, linked as gemmac does: what they ask of their
// machine, and that they start.
#include "codegen/Linker.h"

#include "llvm/Object/ELF.h"
#include "llvm/Support/MemoryBuffer.h"

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <gtest/gtest.h>
#include <set>
#include <sys/wait.h>

using namespace gemmac;
using File = llvm::object::ELFFile<llvm::object::ELF64LE>;

namespace {

struct NoTensors : TensorSource {
  const std::vector<SourceTensor> &tensors() const override { return none; }
  const std::vector<SourceFile> &files() const override { return noFiles; }
  const SourceTensor *find(const std::string &) const override {
    return nullptr;
  }
  std::vector<SourceTensor> none;
  std::vector<SourceFile> noFiles;
};

struct Linker : testing::Test {
  Linker() {
    char name[] = "/tmp/linker_test_XXXXXX";
    folder = mkdtemp(name);
  }
  ~Linker() override { std::filesystem::remove_all(folder); }

  // Links a program and reads it.
  void link(const char *targetName) {
    const Target *target = findTarget(targetName);
    ASSERT_TRUE(target);
    const std::string runtimes = GEMMAC_RUNTIMES;
    Status there = checkRuntime(runtimes, *target);
    ASSERT_TRUE(bool(there)) << there.error().message;
    auto object = llvm::MemoryBuffer::getFile(GEMMAC_LINKER_OBJECT);
    ASSERT_TRUE(bool(object));
    path = folder + "/program";
    NoTensors source;
    ProgramPlan plan;
    std::vector<IgnoredTensor> ignored;
    Result<ProgramSizes> sizes =
        writeProgram({.object = (*object)->getBuffer().str(),
                      .runtime = runtimes,
                      .output = path,
                      .tokenizer = {},
                      .progress = {},
                      .verify = {},
                      .manifest = {.model = {},
                                   .sampling = {},
                                   .media = {},
                                   .target = *target,
                                   .plan = plan,
                                   .source = &source,
                                   .ignored = ignored,
                                   .weightFormat = "",
                                   .cacheFormat = "",
                                   .weightsId = "none",
                                   .externalName = "",
                                   .hashes = {},
                                   .sections = {},
                                   .fidelity = {}}});
    ASSERT_TRUE(bool(sizes)) << sizes.error().message;
    auto read = llvm::MemoryBuffer::getFile(path);
    ASSERT_TRUE(bool(read));
    bytes = std::move(*read);
    elf.emplace(llvm::cantFail(File::create(bytes->getBuffer())));
  }

  // Shared libraries that the program names.
  std::set<std::string> needed() const {
    std::set<std::string> names;
    for (const auto &section : llvm::cantFail(elf->sections())) {
      if (section.sh_type != llvm::ELF::SHT_DYNAMIC)
        continue;
      llvm::StringRef strings = llvm::cantFail(elf->getLinkAsStrtab(section));
      for (const auto &entry : llvm::cantFail(elf->dynamicEntries()))
        if (entry.d_tag == llvm::ELF::DT_NEEDED)
          names.insert(strings.data() + entry.d_un.d_val);
    }
    return names;
  }
  // Versions of their symbols that it asks for.
  std::set<std::string> versions() const {
    std::set<std::string> names;
    for (const auto &section : llvm::cantFail(elf->sections()))
      if (section.sh_type == llvm::ELF::SHT_GNU_verneed)
        for (const auto &library :
             llvm::cantFail(elf->getVersionDependencies(section)))
          for (const auto &version : library.AuxV)
            names.insert(version.Name.c_str()); // the names behind it follow
    return names;
  }
  std::string interpreter() const {
    for (const auto &segment : llvm::cantFail(elf->program_headers()))
      if (segment.p_type == llvm::ELF::PT_INTERP)
        return bytes->getBufferStart() + segment.p_offset;
    return "";
  }
  // What `program --help` prints.
  std::string help() const {
    FILE *pipe =
        popen(("LD_LIBRARY_PATH= '" + path + "' --help 2>&1").c_str(), "r");
    std::string text;
    for (int c; (c = fgetc(pipe)) != EOF;)
      text += char(c);
    EXPECT_EQ(pclose(pipe), 0);
    return text;
  }

  std::string folder, path;
  std::unique_ptr<llvm::MemoryBuffer> bytes;
  std::optional<File> elf;
};

} // namespace

TEST_F(Linker, ProgramsForCpusNeedNothing) {
  ASSERT_NO_FATAL_FAILURE(link("x86-avx2"));
  EXPECT_EQ(interpreter(), "");
  EXPECT_EQ(needed(), std::set<std::string>{});
  EXPECT_EQ(versions(), std::set<std::string>{});
  EXPECT_EQ(help().substr(0, 14), "caught\nusage: ");
}

// Of libc 2.34 or later, and nothing else.
TEST_F(Linker, ProgramsForCardsNeedALibc) {
  ASSERT_NO_FATAL_FAILURE(link("cuda-sm80"));
  EXPECT_EQ(elf->getHeader().e_type, llvm::ELF::ET_DYN);
  EXPECT_EQ(interpreter(), "/lib64/ld-linux-x86-64.so.2");
  const std::set<std::string> allowed = {"libc.so.6", "libm.so.6",
                                         "ld-linux-x86-64.so.2"};
  const std::set<std::string> named = needed();
  EXPECT_TRUE(named.count("libc.so.6"));
  for (const std::string &name : named)
    EXPECT_TRUE(allowed.count(name)) << name;
  const std::set<std::string> asked = versions();
  EXPECT_TRUE(asked.count("GLIBC_2.34")); // __libc_start_main
  for (const std::string &version : asked) {
    int major = 0, minor = 0;
    EXPECT_GE(sscanf(version.c_str(), "GLIBC_%d.%d", &major, &minor), 2)
        << version;
    EXPECT_EQ(major, 2) << version;
    EXPECT_LE(minor, 34) << version;
  }
  EXPECT_EQ(help().substr(0, 14), "caught\nusage: ");
}

// Each file that programs are linked from is asked for before any work is done.
TEST_F(Linker, MissesEveryFile) {
  for (const char *name : {"x86-avx2", "arm-neon", "cuda-sm80"}) {
    const Target &target = *findTarget(name);
    const std::string all = std::string(GEMMAC_RUNTIMES) + "/" + target.arch,
                      some = folder + "/" + target.arch;
    for (const auto &file : std::filesystem::directory_iterator(all)) {
      std::filesystem::remove_all(some);
      std::filesystem::create_directory(some);
      for (const auto &other : std::filesystem::directory_iterator(all))
        if (other.path() != file.path())
          std::filesystem::create_symlink(
              other.path(), some + "/" + other.path().filename().string());
      Status there = checkRuntime(folder, target);
      ASSERT_FALSE(bool(there)) << file.path();
      EXPECT_NE(there.error().message.find("expected the file '" + some + "/" +
                                           file.path().filename().string() +
                                           "', found none"),
                std::string::npos)
          << there.error().message;
    }
  }
}
