#ifndef CAPUS_PROCESS_H
#define CAPUS_PROCESS_H

// Processes: what is variadic, hidden behind _GNU_SOURCE or made of macros, and the signal handler, which may do no more
// than C says it does. Every function that can fail returns the errno value negated.

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/// Starts `/proc/self/fd/EXECUTABLE` (or, where that is negative, the file at `path`). In the child, `third` (unless
/// negative) is descriptor 3; all signals have their default effect and none is blocked. With `own_group`, it leads a
/// process group. Where `standard_error` is not negative, it is the child's, and its input and output are /dev/null.
/// The process's number, or -errno.
pid_t apus_spawn(
    int executable, const char *path, char *const *arguments, char *const *environment, int third, int standard_error,
    int own_group);

/// Whether a child has ended, without waiting: 1 with its status as waitpid has it, 0, or -errno.
int apus_reap(pid_t process, int *status);

/// A child that has ended and was not reaped yet; it stays so. 0 where there is none, or -errno.
pid_t apus_next_ended(void);

/// execve with every signal blocked but those of faults: what arrives meanwhile stays pending for the new image. What is
/// ignored gets its default effect; a SIGPIPE that is pending already is forgotten. Returns only where it fails, with all as it was: -errno.
int apus_replace_image(const char *path, char *const *arguments, char *const *environment);

/// Starts a detached thread that takes no signals; 0 or -errno.
int apus_start_thread(void (*body)(void *), void *context);

/// A pipe that is closed on exec: its reading and its writing end. 0 or -errno.
int apus_pipe(int *ends);

/// From now on each of these signals is written to `pipe` (non-blocking) as one byte, its number, unless the same is in
/// there already. 0 or -errno.
int apus_signals_install(const int *signals, size_t count, int pipe);
/// The variable by which an image that is replaced tells the next one of its signals: the process's number, the pipe's
/// writing end, and the signals. They are installed before the runtime starts.
#define APUS_SIGNALS_VARIABLE "APUS_SIGNALS"
/// Called before the byte of a signal is acted on: the next one is written again.
void apus_signal_taken(int signal);
/// The signals have their default effect again, and the pipe is forgotten.
void apus_signals_restore(const int *signals, size_t count);
/// Starts a thread that blocks no signal and does nothing, so that none stays pending whatever the others block; once.
int apus_signals_unblock(void);

/// An anonymous file that is closed on exec and can be sealed, or -errno.
int apus_memory_file(const char *name);
/// Forbids every further change of it; 0 or -errno.
int apus_memory_seal(int fd);
/// Whether nobody can change it any more.
int apus_memory_is_sealed(int fd);

/// Writes what goes at once; where somebody has to read first (a pipe, a socket) -EAGAIN, whatever the descriptor's mode.
ssize_t apus_write_now(int fd, const void *bytes, size_t count);

/// Real, effective and saved user and group become these, for all threads; 0 or -errno.
int apus_set_group(gid_t group);
int apus_set_user(uid_t user);
/// The supplementary groups become those that the user has by name (`name` not null), or `group` alone.
int apus_set_groups(const char *name, gid_t group);
/// Whether all three users and groups of the process are these.
int apus_is_account(uid_t user, gid_t group);

/// Writes over the arguments that the kernel shows, as far as they go, and names the main thread.
void apus_set_title(const char *title);
/// The running image, as a path alone (O_PATH), closed on exec; or -errno.
int apus_open_own_executable(void);
/// The path by which the process was started, as execve was given it; null where that is not known.
const char *apus_started_path(void);

/// The number of cores that the calling thread may run on, or -errno.
int apus_core_count(void);
/// Lets these threads run on one core alone: the one at `index` among those the calling thread may run on, counted on from
/// the first after the last. 0 or -errno.
int apus_pin(pid_t const *threads, size_t count, unsigned index);

#endif
