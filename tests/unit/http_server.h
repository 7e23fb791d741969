/*
 * A server for test_lib_http.c that misbehaves by path, with a thread for each connection; it counts
 * them. Included once.
 */
#ifndef TESTS_UNIT_HTTP_SERVER_H
#define TESTS_UNIT_HTTP_SERVER_H

#include <arpa/inet.h>
#include <curl/curl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/base.h"

static struct {
	int fd, port;
	pthread_mutex_t lock;
	int accepted, open_now, open_most;
} server = { .lock = PTHREAD_MUTEX_INITIALIZER };

static void count_connection(int by)
{
	pthread_mutex_lock(&server.lock);
	server.open_now += by;
	if (by > 0)
		server.accepted++;
	if (server.open_now > server.open_most)
		server.open_most = server.open_now;
	pthread_mutex_unlock(&server.lock);
}

static void reset_counts(void)
{
	pthread_mutex_lock(&server.lock);
	server.accepted = 0;
	server.open_most = server.open_now;
	pthread_mutex_unlock(&server.lock);
}

static void send_text(int fd, const char *text)
{
	send(fd, text, strlen(text), MSG_NOSIGNAL);
}

static void send_body(int fd, const char *body, size_t len)
{
	cleanup_free char *head = xasprintf("HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n", len);

	send_text(fd, head);
	send(fd, body, len, MSG_NOSIGNAL);
}

static void send_many(int fd, size_t len)
{
	cleanup_free char *body = xcalloc(1, len + 1);

	memset(body, 'x', len);
	send_body(fd, body, len);
}

/* Waits until the client closes. */
static void wait_for_end(int fd)
{
	char byte;

	while (recv(fd, &byte, 1, 0) > 0)
		;
}

/* False: the connection closes. */
static bool answer(int fd, const char *request)
{
	if (strstr(request, "GET /ok ") == request)
		send_text(fd, "HTTP/1.1 200 OK\r\nX-Consul-Index: 42\r\nx-lower: v\r\n"
			      "Content-Length: 5\r\n\r\nhello");
	else if (strstr(request, "GET /echo") == request)
		send_body(fd, request, strlen(request));
	else if (strstr(request, "GET /empty ") == request)
		send_text(fd, "HTTP/1.1 204 No Content\r\n\r\n");
	else if (strstr(request, "GET /500 ") == request)
		send_text(fd, "HTTP/1.1 500 x\r\nContent-Length: 3\r\n\r\nsad");
	else if (strstr(request, "GET /redirect ") == request)
		send_text(fd, "HTTP/1.1 302 x\r\nLocation: /ok\r\nContent-Length: 0\r\n\r\n");
	else if (strstr(request, "GET /big/") == request)
		send_many(fd, (size_t)strtoul(request + strlen("GET /big/"), NULL, 10));
	else if (strstr(request, "GET /slow ") == request && usleep(50000) == 0)
		send_body(fd, "slow", 4);
	else if (strstr(request, "GET /never ") == request)
		wait_for_end(fd);
	else if (strstr(request, "GET /cut ") == request)
		return send_text(fd, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhello"), false;
	else if (strstr(request, "GET /chunk-cut ") == request)
		return send_text(
			       fd, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel"),
		       false;
	else if (strstr(request, "GET /nonsense ") == request)
		return send_text(fd, "What?\r\n\r\n"), false;
	else
		return false;
	return true;
}

static void *serve_connection(void *arg)
{
	int fd = (int)(intptr_t)arg;
	char request[8192];
	size_t len = 0;
	ssize_t n;

	while ((n = recv(fd, request + len, sizeof(request) - 1 - len, 0)) > 0) {
		len += (size_t)n;
		request[len] = '\0';
		if (strstr(request, "\r\n\r\n") == NULL)
			continue;
		if (!answer(fd, request))
			break;
		len = 0;
	}
	close(fd);
	count_connection(-1);
	return NULL;
}

static void *serve(void *arg UNUSED)
{
	for (;;) {
		int fd = accept(server.fd, NULL, NULL);
		pthread_t thread;

		if (fd < 0)
			return NULL;
		count_connection(1);
		pthread_create(&thread, NULL, serve_connection, (void *)(intptr_t)fd);
		pthread_detach(thread);
	}
}

static int start_server(void **state UNUSED)
{
	struct sockaddr_in addr = { .sin_family = AF_INET };
	socklen_t len = sizeof(addr);
	pthread_t thread;

	addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	server.fd = socket(AF_INET, SOCK_STREAM, 0);
	if (bind(server.fd, (struct sockaddr *)&addr, len) < 0 || listen(server.fd, 64) < 0 ||
		getsockname(server.fd, (struct sockaddr *)&addr, &len) < 0)
		return -1;
	server.port = ntohs(addr.sin_port);
	pthread_create(&thread, NULL, serve, NULL);
	pthread_detach(thread);
	return curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK ? 0 : -1;
}

static int stop_server(void **state UNUSED)
{
	shutdown(server.fd, SHUT_RDWR);
	close(server.fd);
	curl_global_cleanup();
	return 0;
}

#endif
