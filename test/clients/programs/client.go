// Go's net/http, default client: `get URL...` prints status, protocol and body of each.
package main

import (
	"fmt"
	"io"
	"net/http"
	"os"
)

func main() {
	status := 0
	for _, url := range os.Args[2:] {
		request, err := http.NewRequest("GET", url, nil)
		if err != nil {
			panic(err)
		}
		request.Header.Set("Authorization", "Bearer "+os.Getenv("API_KEY"))
		answer, err := http.DefaultClient.Do(request)
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		body, _ := io.ReadAll(answer.Body)
		answer.Body.Close()
		fmt.Println(answer.StatusCode, answer.Proto, string(body))
		if answer.StatusCode != 200 {
			status = 22
		}
	}
	os.Exit(status)
}
