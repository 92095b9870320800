// See SectionsObject.h: a relocatable ELF file with one constant.
#include "codegen/SectionsObject.h"
#include "runtime/file.h"

#include "llvm/ADT/StringRef.h"
#include "llvm/BinaryFormat/ELF.h"

#include <cstddef>
#include <cstring>

namespace gemmac {

using namespace llvm::ELF;

namespace {

// Sections by their number; names are offsets in `names`.
enum Index { Null, Data, Stack, Symbols, Strings, Names, Count };
constexpr char names[] =
    "\0.rodata.gm_sections\0.note.GNU-stack\0.symtab\0.strtab\0.shstrtab";
constexpr Elf64_Word nameOf[Count] = {0, 1, 21, 37, 45, 53};
constexpr char strings[] = "\0gm_sections";

} // namespace

template <typename T>
static void append(std::string &out, const T &value) {
  out.append(reinterpret_cast<const char *>(&value), sizeof value);
}

static void align(std::string &out, size_t to) {
  out.resize((out.size() + to - 1) / to * to);
}

std::string sectionsObject(const Target &target,
                           const std::vector<uint8_t> &data) {
  Elf64_Ehdr head = {};
  memcpy(head.e_ident, ElfMagic, 4);
  head.e_ident[EI_CLASS] = ELFCLASS64;
  head.e_ident[EI_DATA] = ELFDATA2LSB;
  head.e_ident[EI_VERSION] = EV_CURRENT;
  head.e_type = ET_REL;
  head.e_machine = llvm::StringRef(target.arch).starts_with("aarch64")
                       ? EM_AARCH64
                       : EM_X86_64;
  head.e_version = EV_CURRENT;
  head.e_ehsize = sizeof head;
  head.e_shentsize = sizeof(Elf64_Shdr);
  head.e_shnum = Count;
  head.e_shstrndx = Names;

  Elf64_Shdr section[Count] = {};
  for (int i = 0; i < Count; ++i)
    section[i].sh_name = nameOf[i];
  std::string out(sizeof head, 0);
  auto put = [&](Index index, Elf64_Word type, size_t alignment, auto write) {
    align(out, alignment);
    section[index].sh_type = type;
    section[index].sh_addralign = alignment;
    section[index].sh_offset = out.size();
    write();
    section[index].sh_size = out.size() - section[index].sh_offset;
  };
  put(Data, SHT_PROGBITS, GM_WEIGHT_ALIGN, [&] {
    gm_embedded embedded = {};
    embedded.bytes = data.size();
    out.append(reinterpret_cast<const char *>(&embedded),
               offsetof(gm_embedded, data));
    out.append(data.begin(), data.end());
  });
  section[Data].sh_flags = SHF_ALLOC;
  put(Stack, SHT_PROGBITS, 1, [] {});
  put(Symbols, SHT_SYMTAB, 8, [&] {
    Elf64_Sym symbol = {};
    append(out, symbol);
    symbol.st_name = 1;
    symbol.setBindingAndType(STB_GLOBAL, STT_OBJECT);
    symbol.st_other = STV_HIDDEN;
    symbol.st_shndx = Data;
    symbol.st_size = section[Data].sh_size;
    append(out, symbol);
  });
  section[Symbols].sh_link = Strings;
  section[Symbols].sh_info = 1; // symbols that are local
  section[Symbols].sh_entsize = sizeof(Elf64_Sym);
  put(Strings, SHT_STRTAB, 1, [&] { out.append(strings, sizeof strings); });
  put(Names, SHT_STRTAB, 1, [&] { out.append(names, sizeof names); });
  align(out, 8);
  head.e_shoff = out.size();
  for (const Elf64_Shdr &each : section)
    append(out, each);
  memcpy(out.data(), &head, sizeof head);
  return out;
}

} // namespace gemmac
