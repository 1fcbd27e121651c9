// Java's HttpClient with the default proxy selector: `get URL...` prints status, protocol and body of each.
// With PROXY_TOKEN it has an Authenticator, and sends the token once it is asked for by a 407.
import java.net.Authenticator;
import java.net.PasswordAuthentication;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.util.Arrays;

public class Client {
  public static void main(String[] args) throws Exception {
    var token = System.getenv("PROXY_TOKEN");
    var builder = HttpClient.newBuilder();
    if (token != null) {
      builder.authenticator(new Authenticator() {
        @Override
        protected PasswordAuthentication getPasswordAuthentication() {
          return new PasswordAuthentication("any", token.toCharArray());
        }
      });
    }
    var client = builder.build();
    var status = 0;
    for (var url : Arrays.asList(args).subList(1, args.length)) {
      var request = HttpRequest.newBuilder(URI.create(url))
          .header("Authorization", "Bearer " + System.getenv("API_KEY"))
          .build();
      var answer = client.send(request, HttpResponse.BodyHandlers.ofString());
      System.out.println(answer.statusCode() + " " + answer.version() + " " + answer.body());
      if (answer.statusCode() != 200) status = 22;
    }
    System.exit(status);
  }
}
