/** The clients that people have: boto3, the AWS command line and curl sign with placeholders and know of nothing else. */
import { afterAll, beforeAll, expect, it } from 'vitest';
import { type AwsWorld, awsWorld, REAL_SET } from '../helpers/aws-world.ts';
import { describeClient, programFile } from './client.ts';
import { makeSandbox } from './sandbox.ts';

const LIMIT_MS = 120_000;

type Scene = {
  readonly aws: AwsWorld;
  /** runs a script that must end well, and that never sees the real id */
  readonly run: (script: string) => Promise<string>;
};

function scene(): () => Scene {
  let made: Scene | null = null;
  let stop: (() => Promise<void>) | null = null;
  beforeAll(async () => {
    const aws = await awsWorld();
    stop = () => aws.stop();
    const sandbox = await makeSandbox(aws.world);
    const run = async (script: string): Promise<string> => {
      const ran = await sandbox.run(script, { limitMs: LIMIT_MS });
      expect(ran.stdout + ran.stderr).not.toContain(REAL_SET.id);
      expect(ran.status, ran.stdout + ran.stderr).toBe(0);
      return ran.stdout;
    };
    made = { aws, run };
  }, LIMIT_MS);
  afterAll(() => stop?.());
  return () => {
    if (made === null) throw new Error('not set up');
    return made;
  };
}

describeClient(
  { name: 'boto3', version: 'python3 -c "import boto3; print(boto3.__version__)"' },
  'boto3',
  () => {
    const use = scene();

    it(
      'puts, gets, lists, uploads in parts, presigns, and calls DynamoDB and STS',
      async () => {
        const { aws, run } = use();
        const out = await run(
          `python3 ${programFile('boto3_client.py')} https://${aws.at.plain} "$HOME"\ncurl -fsS "$(cat presigned)"`,
        );
        expect(out.split('\n')).toEqual([
          'put',
          'get hello',
          'part ell',
          'head 5',
          expect.stringMatching(/^list \d$/),
          'multipart True',
          "tables ['one']",
          'who 1',
          'hello',
        ]);
        expect(aws.plain.seen.length).toBeGreaterThan(10);
      },
      LIMIT_MS,
    );

    it(
      'says why a host, or a role assumed in the sandbox, is refused',
      async () => {
        const { aws, run } = use();
        const script = `import boto3
from botocore.config import Config
def ask(endpoint):
    try:
        sts = boto3.client("sts", endpoint_url=endpoint, region_name="us-east-1", config=Config(retries={"total_max_attempts": 1}))
        sts.assume_role(RoleArn="arn:aws:iam::1:role/xxxxxxxxxxx", RoleSessionName="xx")
    except Exception as error:
        print(error)
ask("https://${aws.at.plain}")
ask("https://evil.test")`;
        const told = await run(`python3 - <<'END'\n${script}\nEND`);
        expect(told).toContain('"reason":"placeholder_wrong_place"');
        expect(told).toContain('Failed to connect to proxy URL');
      },
      LIMIT_MS,
    );
  },
);

describeClient({ name: 'aws', version: 'aws --version' }, 'the AWS command line', () => {
  const use = scene();

  it(
    'copies a file in parts',
    async () => {
      const { aws, run } = use();
      const base = `aws --endpoint-url https://${aws.at.plain} --region us-east-1`;
      await run(`head -c 9000000 /dev/zero > file\n${base} s3 cp --quiet file s3://bucket/file`);
      expect(aws.plain.objects.get('/bucket/file')?.equals(Buffer.alloc(9_000_000))).toBe(true);
    },
    LIMIT_MS,
  );
});

describeClient(
  { name: 'curl', version: 'curl --help all | grep aws-sigv4 && curl --version' },
  'curl --aws-sigv4',
  () => {
    const use = scene();

    it(
      'puts and gets an object',
      async () => {
        const { aws, run } = use();
        const curl =
          'curl -fsS --aws-sigv4 aws:amz:us-east-1:s3 --user "$AWS_ACCESS_KEY_ID:$AWS_SECRET_ACCESS_KEY"';
        const sum = '-H "x-amz-content-sha256: $(printf hello | sha256sum | cut -d\\  -f1)"';
        const url = `https://${aws.at.plain}/bucket/curl`;
        const none = '-H "x-amz-content-sha256: UNSIGNED-PAYLOAD"';
        expect(await run(`${curl} ${sum} -X PUT --data-binary hello ${url}\n${curl} ${none} ${url}`)).toBe(
          'hello',
        );
      },
      LIMIT_MS,
    );
  },
);
