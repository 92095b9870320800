// CPU features by LLVM's names: what targets list (Target::features), what a
// program asks of its machine at start and what `--target=host` means. A
// feature counts only if the operating system saves its registers. Must not
// know the rest of the runtime: gemmac asks here as well.
#pragma once

namespace gm {

// Whether this machine has the feature; false for a name that is not known.
bool has_feature(const char *feature);
// Whether machines of `arch` ("x86_64", "aarch64") can be asked for the
// feature.
bool knows_feature(const char *arch, const char *feature);

// Of the machine this was compiled for; "" if gemmac knows it not.
#if defined(__x86_64__)
inline constexpr const char *this_arch = "x86_64";
#elif defined(__aarch64__)
inline constexpr const char *this_arch = "aarch64";
#else
inline constexpr const char *this_arch = "";
#endif

} // namespace gm
