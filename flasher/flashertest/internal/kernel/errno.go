package kernel

// Errno is an error of a system call, with Linux's number and musl's and
// glibc's text. The host's own syscall.Errno differs from one OS to the next.
type Errno int

// The errors that the simulation knows.
const (
	EPERM     Errno = 1
	ENOENT    Errno = 2
	ESRCH     Errno = 3
	EINTR     Errno = 4
	EIO       Errno = 5
	ENXIO     Errno = 6
	ENOEXEC   Errno = 8
	EBADF     Errno = 9
	ECHILD    Errno = 10
	ENOMEM    Errno = 12
	EACCES    Errno = 13
	EBUSY     Errno = 16
	EEXIST    Errno = 17
	ENODEV    Errno = 19
	ENOTDIR   Errno = 20
	EISDIR    Errno = 21
	EINVAL    Errno = 22
	ENOTTY    Errno = 25
	ENOSPC    Errno = 28
	ESPIPE    Errno = 29
	EROFS     Errno = 30
	EPIPE     Errno = 32
	ELOOP     Errno = 40
	ENOTEMPTY Errno = 39
)

var errnoText = map[Errno]string{
	EPERM: "Operation not permitted", ENOENT: "No such file or directory", ESRCH: "No such process",
	EINTR: "Interrupted system call", EIO: "Input/output error", ENXIO: "No such device or address",
	ENOEXEC: "Exec format error", EBADF: "Bad file descriptor", ECHILD: "No child processes",
	ENOMEM: "Cannot allocate memory", EACCES: "Permission denied", EBUSY: "Device or resource busy",
	EEXIST: "File exists", ENODEV: "No such device", ENOTDIR: "Not a directory", EISDIR: "Is a directory", EINVAL: "Invalid argument",
	ENOTTY: "Inappropriate ioctl for device", ENOSPC: "No space left on device", ESPIPE: "Illegal seek",
	EROFS: "Read-only file system", EPIPE: "Broken pipe", ELOOP: "Too many levels of symbolic links",
	ENOTEMPTY: "Directory not empty",
}

func (e Errno) Error() string { return errnoText[e] }
