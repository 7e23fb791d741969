#include "k8s-apply/listen.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

#define BACKLOG 32

static int bad_address(const char *address, const char *why, struct err *err)
{
	return err_set(err, EXIT_USAGE,
		"'%s' is no address to listen on, such as 127.0.0.1:9105, [::1]:9105 or :9105%s%s",
		address, why != NULL ? ": " : "", why != NULL ? why : "");
}

/* "[::1]:80" to "::1" and "80"; the host of ":80" is NULL. */
static int split(const char *address, char **ret_host, const char **ret_port, struct err *err)
{
	const char *colon = strrchr(address, ':');
	size_t len = colon != NULL ? (size_t)(colon - address) : 0;
	uint64_t port;

	*ret_host = NULL;
	if (colon == NULL || !parse_u64(colon + 1, UINT16_MAX, &port))
		return bad_address(address, NULL, err);
	*ret_port = colon + 1;
	if (len == 0)
		return 0;
	if (len > 2 && address[0] == '[' && address[len - 1] == ']')
		*ret_host = xstrndup(address + 1, len - 2);
	else if (memchr(address, ':', len) == NULL && address[0] != '[')
		*ret_host = xstrndup(address, len);
	else
		return bad_address(address, NULL, err);
	return 0;
}

static int open_socket(const struct addrinfo *info)
{
	const int on = 1, off = 0;
	int fd = socket(info->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), saved;

	if (fd < 0)
		return -1;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	/* "[::]" is all addresses, those of IPv4 too, whatever the machine's default is. */
	if (info->ai_family == AF_INET6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
	if (bind(fd, info->ai_addr, info->ai_addrlen) == 0 && listen(fd, BACKLOG) == 0)
		return fd;
	saved = errno;
	close(fd);
	errno = saved;
	return -1;
}

static char *where(int fd)
{
	struct sockaddr_storage storage = { .ss_family = AF_UNSPEC };
	socklen_t len = sizeof(storage);
	char host[NI_MAXHOST], port[NI_MAXSERV];

	if (getsockname(fd, (struct sockaddr *)&storage, &len) < 0 ||
		getnameinfo((struct sockaddr *)&storage, len, host, sizeof(host), port,
			sizeof(port), NI_NUMERICHOST | NI_NUMERICSERV) != 0)
		return xstrdup("?");
	return xasprintf(storage.ss_family == AF_INET6 ? "[%s]:%s" : "%s:%s", host, port);
}

static int resolve(const char *address, struct addrinfo **ret, struct err *err)
{
	const struct addrinfo hints = {
		.ai_socktype = SOCK_STREAM,
		.ai_flags = AI_PASSIVE | AI_NUMERICSERV,
	};
	cleanup_free char *host = NULL;
	const char *port = NULL;
	int rc;

	if (split(address, &host, &port, err) < 0)
		return -1;
	rc = getaddrinfo(host, port, &hints, ret);
	if (rc != 0)
		return bad_address(address, gai_strerror(rc), err);
	return 0;
}

/* All addresses: one socket of IPv6 has those of IPv4 too, where the machine has IPv6 at all. */
static int open_first(const struct addrinfo *all, bool any)
{
	int fd = -1;

	for (const struct addrinfo *a = all; any && fd < 0 && a != NULL; a = a->ai_next)
		if (a->ai_family == AF_INET6)
			fd = open_socket(a);
	/* A port that is taken is taken, for IPv4 as well. */
	if (any && fd < 0 && errno == EADDRINUSE)
		return -1;
	for (const struct addrinfo *a = all; fd < 0 && a != NULL; a = a->ai_next)
		fd = open_socket(a);
	return fd;
}

int listen_on(const char *address, char **ret_where, struct err *err)
{
	struct addrinfo *all = NULL;
	int fd, saved;

	if (resolve(address, &all, err) < 0)
		return -1;
	errno = 0;
	fd = open_first(all, *address == ':');
	saved = errno;
	freeaddrinfo(all);
	errno = saved;
	if (fd < 0)
		return err_errno(err, EXIT_SYSTEM, "cannot listen on '%s'", address);
	*ret_where = where(fd);
	return fd;
}
