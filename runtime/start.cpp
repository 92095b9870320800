// Stands in for the start files of libc while the runtime is prelinked
// (Prelink.cmake): without these, libc.a would contribute what belongs to
// programs without start files. Weak, so the real ones win in a program.
extern "C" {
[[gnu::weak, gnu::visibility("hidden")]] void *__dso_handle = nullptr;
}
