/** The clients that people have: boto3, the AWS command line and curl sign with placeholders and know of nothing else. */
import { afterAll, beforeAll, expect, it } from 'vitest';
import { type AwsWorld, awsWorld, REAL_SET } from '../helpers/aws-world.ts';
import { describeClient, programFile } from './client.ts';
import { makeSandbox, type Sandbox } from './sandbox.ts';

const LIMIT_MS = 120_000;

function scene(): { use(): { aws: AwsWorld; sandbox: Sandbox; run(script: string): Promise<string> } } {
  let aws: AwsWorld | null = null;
  let sandbox: Sandbox | null = null;
  beforeAll(async () => {
    aws = await awsWorld();
    sandbox = await makeSandbox(aws.world);
  }, LIMIT_MS);
  afterAll(() => aws?.stop());
  return {
    use: () => {
      if (aws === null || sandbox === null) throw new Error('not set up');
      const { run } = sandbox;
      const strict = async (script: string): Promise<string> => {
        const ran = await run(script, { limitMs: LIMIT_MS });
        expect(ran.stdout + ran.stderr).not.toContain(REAL_SET.id);
        expect(ran.status, ran.stdout + ran.stderr).toBe(0);
        return ran.stdout;
      };
      return { aws, sandbox, run: strict };
    },
  };
}

describeClient(
  { name: 'boto3', version: 'python3 -c "import boto3; print(boto3.__version__)"' },
  'boto3',
  () => {
    const at = scene();

    it(
      'puts, gets, lists, uploads in parts, presigns, and calls DynamoDB and STS',
      async () => {
        const { aws, run } = at.use();
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
      'says why a role may not be assumed in the sandbox',
      async () => {
        const { aws, run } = at.use();
        const script = `import boto3
try:
    boto3.client("sts", endpoint_url="https://${aws.at.plain}", region_name="us-east-1").assume_role(RoleArn="arn:aws:iam::1:role/xxxxxxxxxxx", RoleSessionName="xx")
except Exception as error:
    print(error)`;
        expect(await run(`python3 - <<'END'\n${script}\nEND`)).toMatch(/403|placeholder_wrong_place/);
      },
      LIMIT_MS,
    );
  },
);

describeClient({ name: 'aws', version: 'aws --version' }, 'the AWS command line', () => {
  const at = scene();

  it(
    'copies a file in parts',
    async () => {
      const { aws, run } = at.use();
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
    const at = scene();

    it(
      'puts and gets an object',
      async () => {
        const { aws, run } = at.use();
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
