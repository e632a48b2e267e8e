/* The demonstration in ordinary C: `cargo bench` compares this project's program with it.
 *
 * It prints the same transcript. It uses the C library's own functions and does not try to be fast or small: printf on
 * an unbuffered stdout, perror, getopt, notification buffers from malloc, and open, lseek, read, close of /proc/PID/mem
 * for every notification. It does what a correct program must do on a current kernel: the request buffer is zeroed
 * before each receive, the tracer closes its copy of the sending end, and the target gets the real error. It lacks this
 * program's stricter policy (it compares only the prefix "/tmp/"), the escaping of control bytes, a fallback without
 * /proc, the measuring mode and the wake-up flag of Linux 6.6.
 *
 * With -DTUNED it has two of this program's measures that no language gives or takes: it sets the wake-up flag, and it
 * keeps /proc/PID/mem open from one notification to the next and reads it by one pread.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#if defined(__x86_64__)
#define NATIVE_ARCH AUDIT_ARCH_X86_64
#define X32_BIT 0x40000000
#elif defined(__aarch64__)
#define NATIVE_ARCH AUDIT_ARCH_AARCH64
#elif defined(__riscv) && __riscv_xlen == 64
#define NATIVE_ARCH AUDIT_ARCH_RISCV64
#elif defined(__i386__)
#define NATIVE_ARCH AUDIT_ARCH_I386
#elif defined(__arm__)
#define NATIVE_ARCH AUDIT_ARCH_ARM
#elif defined(__s390x__)
#define NATIVE_ARCH AUDIT_ARCH_S390X
#elif defined(__loongarch64)
#define NATIVE_ARCH AUDIT_ARCH_LOONGARCH64
#else
#error "the filter needs this architecture's AUDIT_ARCH constant"
#endif

/* On an architecture without mkdir, the C library's mkdir() calls mkdirat. */
#ifdef __NR_mkdir
#define NOTIFIED_CALL __NR_mkdir
#define PATH_ARGUMENT 0
#else
#define NOTIFIED_CALL __NR_mkdirat
#define PATH_ARGUMENT 1
#endif
#define MODE_ARGUMENT (PATH_ARGUMENT + 1)

static int delay_seconds;
static char second_filter;
static bool wait_for_tracer;

static void fail(const char *what)
{
	perror(what);
	exit(EXIT_FAILURE);
}

static void usage(const char *program)
{
	fprintf(stderr, "Usage: %s [-d secs] [-f e|t] [-K] <dir> <dir>...\n", program);
	exit(EXIT_FAILURE);
}

static int install_filter(uint32_t action, unsigned int flags)
{
	struct sock_filter program[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, NATIVE_ARCH, 1, 0),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
#ifdef X32_BIT
		BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, X32_BIT, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
#endif
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, NOTIFIED_CALL, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, action),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog fprog = {
		.len = sizeof(program) / sizeof(program[0]),
		.filter = program,
	};

	return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &fprog);
}

/* One descriptor is sent over a socket. The message has one byte of data, since an empty message is not delivered. */
union control {
	char space[CMSG_SPACE(sizeof(int))];
	struct cmsghdr align;
};

static void send_descriptor(int sock, int fd)
{
	char byte = 0;
	union control control;
	struct iovec data = { .iov_base = &byte, .iov_len = 1 };
	struct msghdr message = {
		.msg_iov = &data,
		.msg_iovlen = 1,
		.msg_control = control.space,
		.msg_controllen = sizeof(control.space),
	};

	memset(&control, 0, sizeof(control));
	struct cmsghdr *header = CMSG_FIRSTHDR(&message);
	header->cmsg_level = SOL_SOCKET;
	header->cmsg_type = SCM_RIGHTS;
	header->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(header), &fd, sizeof(int));
	if (sendmsg(sock, &message, 0) == -1)
		fail("sendmsg");
}

/* Returns -1 if the other end was closed without sending a descriptor. */
static int receive_descriptor(int sock)
{
	char byte;
	int fd;
	union control control;
	struct iovec data = { .iov_base = &byte, .iov_len = 1 };
	struct msghdr message = {
		.msg_iov = &data,
		.msg_iovlen = 1,
		.msg_control = control.space,
		.msg_controllen = sizeof(control.space),
	};
	ssize_t received = recvmsg(sock, &message, 0);

	if (received == -1)
		fail("recvmsg");
	struct cmsghdr *header = CMSG_FIRSTHDR(&message);
	if (received == 0 || header == NULL || header->cmsg_len != CMSG_LEN(sizeof(int)))
		return -1;
	memcpy(&fd, CMSG_DATA(header), sizeof(int));
	return fd;
}

static void on_sigint(int sig)
{
	static const char text[] = "Target process: received signal\n";
	int saved = errno;

	(void)sig;
	if (write(STDOUT_FILENO, text, sizeof(text) - 1) == -1)
		_exit(EXIT_FAILURE);
	errno = saved;
}

static pid_t start_target(const int pair[2], char *dirs[])
{
	pid_t pid = fork();

	if (pid == -1)
		fail("fork");
	if (pid > 0)
		return pid;

	printf("Target process: PID = %ld\n", (long)getpid());

	struct sigaction action = { .sa_handler = on_sigint };
	sigemptyset(&action.sa_mask);
	if (sigaction(SIGINT, &action, NULL) == -1)
		fail("sigaction");
	/* Yama lets the tracer, a sibling, read this process's memory only if this process names a common ancestor. The
	 * result is ignored: without Yama the call fails with EINVAL and is not needed. */
	prctl(PR_SET_PTRACER, (unsigned long)getppid(), 0, 0, 0);
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == -1)
		fail("prctl");

	int listener = install_filter(SECCOMP_RET_USER_NOTIF, SECCOMP_FILTER_FLAG_NEW_LISTENER);
	if (listener == -1)
		fail("seccomp");
	if (second_filter == 'e' && install_filter(SECCOMP_RET_ERRNO | EOPNOTSUPP, 0) == -1)
		fail("seccomp");
	if (second_filter == 't' && install_filter(SECCOMP_RET_TRACE, 0) == -1)
		fail("seccomp");

	send_descriptor(pair[0], listener);
	close(listener);
	close(pair[0]);
	close(pair[1]);

	for (char **dir = dirs; *dir != NULL; dir++) {
		printf("\nTarget process: about to make directory \"%s\"\n", *dir);
		int result = mkdir(*dir, 0600);
		if (result == -1)
			perror("Target process: mkdir");
		else
			printf("Target process: SUCCESS: mkdir(2) returned = %d\n", result);
	}
	printf("Target process: terminating\n");
	exit(EXIT_SUCCESS);
}

static bool still_valid(int listener, uint64_t id, const char *when)
{
	if (ioctl(listener, SECCOMP_IOCTL_NOTIF_ID_VALID, &id) == 0)
		return true;
	fprintf(stderr, "Tracer: notification ID check (%s): target has died!!!!!!!!!!!\n", when);
	return false;
}

/* Returns 0, or the errno for the response to the target's call. */
static int read_path(int listener, const struct seccomp_notif *request, char *path, size_t size)
{
	char name[64];
#ifdef TUNED
	/* All notifications come from the target, whose memory stays the same. */
	static int memory = -1;

	if (memory == -1) {
		snprintf(name, sizeof(name), "/proc/%" PRIu32 "/mem", request->pid);
		memory = open(name, O_RDONLY);
		if (memory == -1)
			fail(name);
	}
	ssize_t length = pread(memory, path, size, (off_t)request->data.args[PATH_ARGUMENT]);
	if (!still_valid(listener, request->id, "post-open"))
		return EPERM;
#else
	snprintf(name, sizeof(name), "/proc/%" PRIu32 "/mem", request->pid);
	int memory = open(name, O_RDONLY);
	if (memory == -1)
		fail(name);
	if (!still_valid(listener, request->id, "post-open")) {
		close(memory);
		return EPERM;
	}
	if (lseek(memory, (off_t)request->data.args[PATH_ARGUMENT], SEEK_SET) == -1)
		fail("lseek");
	ssize_t length = read(memory, path, size);
	close(memory);
#endif
	if (length <= 0)
		return EFAULT;
	if (memchr(path, '\0', (size_t)length) == NULL)
		return ENAMETOOLONG;
	return 0;
}

static void answer(int listener, const struct seccomp_notif *request, struct seccomp_notif_resp *response)
{
	char path[PATH_MAX];
	unsigned int mode = (unsigned int)request->data.args[MODE_ARGUMENT];
	bool valid = true;

	if (delay_seconds > 0) {
		valid = still_valid(listener, request->id, "pre-delay");
		printf("Tracer: delaying for %d seconds:", delay_seconds);
		for (int left = delay_seconds; left > 0; left--) {
			printf(" %d", left);
			sleep(1);
		}
		printf("\n");
		valid = valid && still_valid(listener, request->id, "post-delay");
	}

	response->id = request->id;
	response->flags = 0;
	response->val = 0;
	response->error = -EPERM;
	if (!valid)
		return;

	int error = read_path(listener, request, path, sizeof(path));
	if (error != 0) {
		response->error = -error;
		return;
	}
	printf("Tracer: mkdir(\"%s\", %o)\n", path, mode);
	if (strncmp(path, "/tmp/", strlen("/tmp/")) == 0) {
		if (mkdir(path, mode) == 0) {
			response->error = 0;
			response->val = (int64_t)strlen(path);
		} else {
			response->error = -errno;
		}
	}
	if (strcmp(path, "/bye") == 0) {
		if (ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, response) == -1)
			perror("Tracer: ioctl(SECCOMP_IOCTL_NOTIF_SEND)");
		printf("Tracer: terminating <<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<\n");
		exit(EXIT_FAILURE);
	}
}

static pid_t start_tracer(const int pair[2])
{
	pid_t pid = fork();

	if (pid == -1)
		fail("fork");
	if (pid > 0)
		return pid;

	printf("Tracer: PID = %ld\n", (long)getpid());
	close(pair[0]);
	int listener = receive_descriptor(pair[1]);
	close(pair[1]);
	if (listener == -1)
		exit(EXIT_FAILURE);

#ifdef TUNED
	/* The result is ignored: the call only tunes latency, and fails before Linux 6.6. The headers may be older. */
	ioctl(listener, _IOW('!', 4, uint64_t), 1UL);
#endif

	/* The kernel's structures may be larger or smaller than those in the header. */
	struct seccomp_notif_sizes sizes;
	if (syscall(SYS_seccomp, SECCOMP_GET_NOTIF_SIZES, 0, &sizes) == -1)
		fail("seccomp");
	size_t request_size = sizes.seccomp_notif;
	size_t response_size = sizes.seccomp_notif_resp;
	if (request_size < sizeof(struct seccomp_notif))
		request_size = sizeof(struct seccomp_notif);
	if (response_size < sizeof(struct seccomp_notif_resp))
		response_size = sizeof(struct seccomp_notif_resp);
	struct seccomp_notif *request = malloc(request_size);
	struct seccomp_notif_resp *response = malloc(response_size);
	if (request == NULL || response == NULL)
		fail("malloc");

	for (;;) {
		memset(request, 0, request_size);
		memset(response, 0, response_size);
		if (ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, request) == -1) {
			if (errno == EINTR)
				continue;
			if (errno == ENOENT)
				break;
			fail("Tracer: ioctl(SECCOMP_IOCTL_NOTIF_RECV)");
		}
		printf("Tracer: got notification for PID %" PRIu32 "; ID is %" PRIx64 "\n", request->pid,
		       (uint64_t)request->id);
		answer(listener, request, response);
		if (ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, response) == -1) {
			if (errno != ENOENT)
				fail("Tracer: ioctl(SECCOMP_IOCTL_NOTIF_SEND)");
			printf("Tracer: response failed with ENOENT; "
			       "perhaps target process's syscall was interrupted by signal?\n");
		}
	}
	exit(EXIT_SUCCESS);
}

int main(int argc, char *argv[])
{
	int pair[2];
	int option;

	setbuf(stdout, NULL);
	while ((option = getopt(argc, argv, "d:Kf:")) != -1) {
		switch (option) {
		case 'd':
			delay_seconds = atoi(optarg);
			break;
		case 'f':
			second_filter = optarg[0];
			if (second_filter != 'e' && second_filter != 't')
				usage(argv[0]);
			break;
		case 'K':
			wait_for_tracer = true;
			break;
		default:
			usage(argv[0]);
		}
	}
	if (optind >= argc)
		usage(argv[0]);

	if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == -1)
		fail("socketpair");
	pid_t target = start_target(pair, argv + optind);
	pid_t tracer = start_tracer(pair);
	close(pair[0]);
	close(pair[1]);

	if (waitpid(target, NULL, 0) == -1)
		fail("waitpid");
	printf("Parent: target process has terminated\n");
	if (wait_for_tracer) {
		if (waitpid(tracer, NULL, 0) == -1)
			fail("waitpid");
	} else {
		printf("Parent: killing tracer\n");
		if (kill(tracer, SIGTERM) == -1)
			fail("kill");
	}
	return EXIT_SUCCESS;
}
