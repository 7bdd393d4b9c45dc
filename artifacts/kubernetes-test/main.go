// web answers HTTP with the pod and the node that it runs on; `web get URL` asks.
package main

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"time"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(arguments []string) error {
	if len(arguments) == 2 && arguments[0] == "get" {
		client := http.Client{Timeout: 5 * time.Second}
		answer, err := client.Get(arguments[1])
		if err != nil {
			return err
		}
		defer answer.Body.Close()
		if _, err := io.Copy(os.Stdout, answer.Body); err != nil {
			return err
		}
		if answer.StatusCode != http.StatusOK {
			return fmt.Errorf("answer: %s", answer.Status)
		}
		return nil
	}
	pod, err := os.Hostname()
	if err != nil {
		return err
	}
	http.HandleFunc("/healthz", func(answer http.ResponseWriter, _ *http.Request) { fmt.Fprintln(answer, "ok") })
	http.HandleFunc("/", func(answer http.ResponseWriter, request *http.Request) {
		fmt.Fprintf(answer, "pod=%s node=%s from=%s\n", pod, os.Getenv("NODE_NAME"), request.RemoteAddr)
	})
	fmt.Println("listening on :8080")
	return http.ListenAndServe(":8080", nil)
}
