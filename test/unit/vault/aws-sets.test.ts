import { describe, expect, it } from 'vitest';
import { awsGroups } from '../../../src/vault/aws-sets.ts';

const groups = (...names: string[]): Record<string, string> => Object.fromEntries(awsGroups(names));

describe('AWS sets', () => {
  it('belong together by what stands before their common names', () => {
    expect(
      groups(
        'AWS_ACCESS_KEY_ID',
        'AWS_SECRET_ACCESS_KEY',
        'PROD_AWS_ACCESS_KEY_ID',
        'PROD_AWS_SECRET_ACCESS_KEY',
        'PROD_AWS_SESSION_TOKEN',
        'TEST_AWS_ACCESS_KEY_ID',
        'OTHER',
      ),
    ).toEqual({
      AWS_ACCESS_KEY_ID: 'AWS',
      AWS_SECRET_ACCESS_KEY: 'AWS',
      PROD_AWS_ACCESS_KEY_ID: 'PROD_AWS',
      PROD_AWS_SECRET_ACCESS_KEY: 'PROD_AWS',
      PROD_AWS_SESSION_TOKEN: 'PROD_AWS',
    });
  });

  it('belong together by what stands behind, or on both sides', () => {
    expect(
      groups(
        'AWS_ACCESS_KEY_ID_PROD',
        'AWS_SECRET_ACCESS_KEY_PROD',
        'AWS_SESSION_TOKEN_PROD',
        'AWS_SECRET_ACCESS_KEY_TEST',
        'EU_AWS_ACCESS_KEY_ID_2',
        'EU_AWS_SECRET_ACCESS_KEY_2',
        'AWS_SESSION_TOKEN',
      ),
    ).toEqual({
      AWS_ACCESS_KEY_ID_PROD: 'AWS_PROD',
      AWS_SECRET_ACCESS_KEY_PROD: 'AWS_PROD',
      AWS_SESSION_TOKEN_PROD: 'AWS_PROD',
      EU_AWS_ACCESS_KEY_ID_2: 'EU_AWS_2',
      EU_AWS_SECRET_ACCESS_KEY_2: 'EU_AWS_2',
    });
  });

  it('are not made of names that only end alike', () => {
    expect(groups('MYAWS_ACCESS_KEY_ID', 'MYAWS_SECRET_ACCESS_KEY')).toEqual({});
    expect(groups('AWS_ACCESS_KEY_IDX', 'AWS_SECRET_ACCESS_KEYX')).toEqual({});
  });
});
